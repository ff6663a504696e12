"""Reconcile: from object to instance, and from the instance's status back. The one writer of an object's status."""

from workflow_operator.reconcile.orphans import OrphanSweeper
from workflow_operator.reconcile.ports import Cluster, Runner, Shares
from workflow_operator.reconcile.queue import KeyQueue
from workflow_operator.reconcile.reconciler import Reconciler
from workflow_operator.reconcile.store import ObjectStore

__all__ = ["Cluster", "KeyQueue", "ObjectStore", "OrphanSweeper", "Reconciler", "Runner", "Shares"]
