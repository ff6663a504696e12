"""Writes a status into its object, and tells of it what is worth an Event."""

from __future__ import annotations

from workflow_operator.history.errors import Conflict, InvalidInput, NotFound
from workflow_operator.reconcile.notices import Reporter, notice
from workflow_operator.reconcile.ports import Cluster
from workflow_operator.reconcile.store import ObjectStore, key_of, read
from workflow_operator.resources.run import ObservedRun, RunStatus, to_wire


class StatusWriter:
    """The one place where this replica writes objects."""

    def __init__(self, cluster: Cluster, objects: ObjectStore, reporter: Reporter) -> None:
        self._cluster = cluster
        self._objects = objects
        self._reporter = reporter

    async def write(self, run: ObservedRun, status: RunStatus, *, whole: bool = True) -> bool:
        """Replace the status of this version of the object; False if there is another version, or none, by now.

        Args:
            whole: False where the instance is not known: what the object shows of it stays, and only conditions and
                completionTime are replaced.

        Raises:
            Unavailable: the API server does not answer.
            InvalidInput: it refuses the status.
        """
        metadata = run.metadata
        name = (metadata.namespace, metadata.name)
        try:
            shown = to_wire(status)
            if not whole:
                shown = {name: value for name, value in shown.items() if name in ("conditions", "completionTime")}
            written = await self._cluster.patch_status(
                *name, metadata.uid, metadata.resource_version, shown, whole=whole
            )
        except (Conflict, NotFound, InvalidInput):
            # InvalidInput too: the API server checks the rules for changes before it sees that the object is outdated.
            if not await self._look_again(run):
                raise
            return False
        self._objects.object_changed(written)
        # Only who wrote it tells of it: neither another replica nor a later start does so again.
        if (told := notice(run.status, status)) is not None:
            version = written["metadata"]["resourceVersion"]
            self._reporter.tell(metadata.model_copy(update={"resource_version": version}), told)
        return True

    async def _look_again(self, run: ObservedRun) -> bool:
        """Take in the object as it is now; False if that is the one known already."""
        found = await self._cluster.look(run.metadata.namespace, run.metadata.name)
        if found is None or key_of(read(found)[0]) != key_of(run):
            self._objects.gone(run)
        elif found["metadata"]["resourceVersion"] == run.metadata.resource_version:
            return False
        else:
            self._objects.object_changed(found)
        return True
