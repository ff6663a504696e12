"""Writes a status into its object, and tells of it what is worth an Event."""

from __future__ import annotations

from workflow_operator.history.errors import Conflict, InvalidInput, NotFound
from workflow_operator.reconcile.objects.ports import Cluster
from workflow_operator.reconcile.objects.store import ObjectStore, key_of, read
from workflow_operator.reconcile.showing.notices import Reporter, notice
from workflow_operator.resources.run import ObservedRun, RunStatus
from workflow_operator.resources.schema import to_wire


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
        known = (metadata.namespace, metadata.name, metadata.uid, metadata.resource_version)
        shown = to_wire(status)
        try:
            if whole:
                with self._objects.writing(run, status):
                    version = await self._cluster.put_status(*known, shown)
                self._objects.written(run, status, version)
            else:
                fields = {name: value for name, value in shown.items() if name in ("conditions", "completionTime")}
                written = await self._cluster.patch_status(*known, fields)
                version = written["metadata"]["resourceVersion"]
                self._objects.object_changed(written)
        except (Conflict, NotFound, InvalidInput):
            # InvalidInput too: a patch is checked against the rules before it is seen to be of an outdated object.
            if not await self._look_again(run):
                raise
            return False
        # Only who wrote it tells of it: neither another replica nor a later start does so again.
        if (told := notice(run.status, status)) is not None:
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
