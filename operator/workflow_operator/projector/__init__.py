"""The projector: folds the history into one status for each instance. All replicas run, none leads."""

from workflow_operator.projector.plan import Fold, Gap, Stale, plan
from workflow_operator.projector.ports import Feed, ProjectedCommit, Shares
from workflow_operator.projector.projector import Projector

__all__ = ["Feed", "Fold", "Gap", "ProjectedCommit", "Projector", "Shares", "Stale", "plan"]
