"""JetStream: the adapter behind the ports of :mod:`workflow_operator.history`."""

from workflow_operator.jetstream.bus import JetStreamDataBus
from workflow_operator.jetstream.connection import Connection
from workflow_operator.jetstream.login import ConnectionOptions
from workflow_operator.jetstream.membership import Membership, living
from workflow_operator.jetstream.projection import ProjectionFeed
from workflow_operator.jetstream.queue import JetStreamWorkQueue
from workflow_operator.jetstream.server import EmbeddedServer
from workflow_operator.jetstream.topology import TopologyOptions, check, ensure
from workflow_operator.jetstream.watch import StatusWatcher

__all__ = [
    "Connection",
    "ConnectionOptions",
    "EmbeddedServer",
    "JetStreamDataBus",
    "JetStreamWorkQueue",
    "Membership",
    "ProjectionFeed",
    "StatusWatcher",
    "TopologyOptions",
    "check",
    "ensure",
    "living",
]
