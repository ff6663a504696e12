"""JetStream: the adapter behind the ports of :mod:`workflow_operator.history`."""

from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connect.connection import Connection
from workflow_operator.jetstream.connect.login import ConnectionOptions
from workflow_operator.jetstream.connect.server import EmbeddedServer
from workflow_operator.jetstream.membership import Membership, living, living_operators
from workflow_operator.jetstream.projection import ProjectionFeed
from workflow_operator.jetstream.queue import JetStreamWorkQueue
from workflow_operator.jetstream.recent import RecentStatuses
from workflow_operator.jetstream.streams.keeping import kept
from workflow_operator.jetstream.streams.topology import TopologyOptions, check, check_projection, ensure
from workflow_operator.jetstream.watch import StatusWatcher

__all__ = [
    "Connection",
    "ConnectionOptions",
    "EmbeddedServer",
    "JetStreamDataBus",
    "JetStreamWorkQueue",
    "Membership",
    "ProjectionFeed",
    "RecentStatuses",
    "StatusWatcher",
    "TopologyOptions",
    "check",
    "check_projection",
    "ensure",
    "kept",
    "living",
    "living_operators",
]
