"""The projector: folds the history into one status for each instance. All replicas run, none leads."""

from workflow_operator.projector.plan import Fold, Gap, Stale, plan
from workflow_operator.projector.projector import Feed, ProjectedEvent, Projector, Shares

__all__ = ["Feed", "Fold", "Gap", "ProjectedEvent", "Projector", "Shares", "Stale", "plan"]
