"""Reconcile: from object to instance, and from the instance's status back. The one writer of an object's status."""

from workflow_operator.reconcile.measures import count_runs
from workflow_operator.reconcile.objects.ports import Cluster, Runner, Shares
from workflow_operator.reconcile.objects.queue import KeyQueue
from workflow_operator.reconcile.objects.store import ObjectStore, RunKey
from workflow_operator.reconcile.orphans import OrphanSweeper
from workflow_operator.reconcile.outlived import OutlivedInstances
from workflow_operator.reconcile.quota import NamespaceQuota, QuotaLimits
from workflow_operator.reconcile.reconciler import ClusterSide, Reconciler
from workflow_operator.reconcile.showing.notices import Reporter
from workflow_operator.reconcile.showing.outage import Announcer, Outage, nats_problem
from workflow_operator.reconcile.showing.writer import StatusWriter
from workflow_operator.reconcile.signals import SignalDesk
from workflow_operator.reconcile.starting import EngineSide

__all__ = [
    "Announcer",
    "Cluster",
    "ClusterSide",
    "EngineSide",
    "KeyQueue",
    "NamespaceQuota",
    "ObjectStore",
    "OrphanSweeper",
    "Outage",
    "OutlivedInstances",
    "QuotaLimits",
    "Reconciler",
    "Reporter",
    "RunKey",
    "Runner",
    "Shares",
    "SignalDesk",
    "StatusWriter",
    "count_runs",
    "nats_problem",
]
