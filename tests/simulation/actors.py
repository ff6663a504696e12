"""Who acts beside the executors: the owner of an object, who deletes it, what goes wrong, and projectors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.simulation.watch import Record
from workflow_operator.history import InstanceEvent, InstanceStatus, Origin
from workflow_operator.history.errors import Conflict
from workflow_operator.projector.plan import Fold, Gap, plan

if TYPE_CHECKING:
    from tests.simulation.run import Replica, Simulation


async def own(simulation: Simulation, record: Record) -> None:
    """Starts the run, and sees to it from time to time as reconciler and sweep do."""
    first = simulation.random.random() < 0.6
    while not record.over:
        if simulation.replicas:
            replica = simulation.random.choice(simulation.replicas)
            await _see_to(simulation, replica, record, first)
            first = False
        await simulation.clock.sleep(simulation.random.uniform(0.5, 6.0))


async def _see_to(simulation: Simulation, replica: Replica, record: Record, first: bool) -> None:
    key = record.key
    if record.deleted:
        if record.commits:
            await _done_by(simulation, replica, replica.runner.cancel(key, "deleted"))
        return
    generation, suspended = record.wanted
    if not record.commits:
        origin = Origin(cluster="c", name="run", generation=generation)
        work = replica.runner.execute(
            key.namespace, "source", instance_id=key.instance_id, origin=origin, first=first, suspended=suspended
        )
        await _done_by(simulation, replica, work)
        return
    if generation > 1:
        await _done_by(simulation, replica, _asks(replica, record))
    drivers = [event.executor.id for event in record.events if event.executor is not None][-1:]
    lives = {each.name for each in simulation.replicas}.issuperset(drivers)
    if not lives or simulation.random.random() < 0.1:
        await _done_by(simulation, replica, replica.runner.requeue(key))


async def cancel(simulation: Simulation, record: Record) -> None:
    """Deletes the object at some time."""
    await simulation.clock.sleep(simulation.random.choice((0.0, 0.005, 0.02, 0.1, 1.0, 5.0, 20.0)))
    while not simulation.replicas:
        await simulation.clock.sleep(0.1)
    simulation.say(f"{record.key.instance_id} is deleted")
    record.deleted = True
    replica = simulation.random.choice(simulation.replicas)
    await _done_by(simulation, replica, replica.runner.cancel(record.key, "deleted"))


async def toggle(simulation: Simulation, record: Record) -> None:
    """Suspends the run at some time, and resumes it, perhaps more than once. Not each is acted on."""
    random = simulation.random
    for _ in range(random.choice((1, 1, 3))):
        for suspended, pauses in ((True, (0.0, 0.01, 0.3, 3.0, 20.0)), (False, (0.0, 0.01, 1.0, 8.0, 90.0))):
            await simulation.clock.sleep(random.choice(pauses))
            record.wanted = record.wanted[0] + 1, suspended
            simulation.say(f"{record.key.instance_id} is to be {'suspended' if suspended else 'resumed'}")
            if simulation.replicas and record.commits and not record.over and random.random() < 0.5:
                replica = random.choice(simulation.replicas)
                await _done_by(simulation, replica, _asks(replica, record))


async def _asks(replica: Replica, record: Record) -> None:
    generation, suspended = record.wanted
    await replica.runner.suspend(record.key, generation, suspend=suspended)


async def _done_by(simulation: Simulation, replica: Replica, work: Any) -> None:
    """Who is killed meanwhile does nothing more."""
    try:
        await work
    except asyncio.CancelledError:
        if simulation.stopped or not replica.line.cut:
            raise


async def trouble(simulation: Simulation, seconds: float) -> None:
    """Whatever may go wrong, for so long; then nothing more does."""
    random = simulation.random
    left = seconds * random.choice((0.0, 0.1, 1.0))
    while left > 0:
        pause = random.choice((0.001, 0.01, 0.03, 0.3, 1.0, 3.0))
        left -= pause
        await simulation.clock.sleep(pause)
        if simulation.replicas and random.random() < 0.7:
            _strike(simulation, random.choice(simulation.replicas))
        if len(simulation.replicas) < 3 and random.random() < 0.4:
            simulation.add_replica()
    simulation.calm = True
    for replica in simulation.replicas:
        replica.line.loses, replica.line.away, replica.line.strike = 0.0, False, None
    if not simulation.replicas:
        simulation.add_replica()


def _strike(simulation: Simulation, replica: Replica) -> None:
    random = simulation.random
    match random.choice(("kill", "kill at", "hand over", "away", "again", "again")):
        case "kill":
            simulation.kill(replica)
        case "kill at":
            replica.line.strike = replica.line.operations + random.randint(1, 12), partial(simulation.kill, replica)
        case "hand over":
            simulation.hand_over(replica)
        case "away":
            simulation.away(replica, random.choice((0.02, 0.5, 7.0, 15.0)))
        case _:
            simulation.deliver_again()


async def project(simulation: Simulation) -> None:
    """Folds what is stored, in batches that come twice or late; like any projector it works on whole commits."""
    random = simulation.random
    while True:
        await simulation.clock.sleep(random.choice((0.001, 0.02, 0.1, 0.5)))
        for record in simulation.records.values():
            batch = [commit for commit in record.commits if random.random() < 0.7]
            if batch:
                await _fold(simulation, record, batch)


async def _fold(simulation: Simulation, record: Record, batch: Sequence[Sequence[InstanceEvent]]) -> None:
    bus = simulation.bus
    before: InstanceStatus | None = (await bus.query_statuses([record.key])).get(record.key)
    await asyncio.sleep(0)
    match plan(before, batch):
        case Gap():
            match plan(before, record.commits):
                case Fold(status):
                    await _write(simulation, status)
        case Fold(status):
            await _write(simulation, status)


async def _write(simulation: Simulation, status: InstanceStatus) -> None:
    try:
        await simulation.bus.write_status(status)
    except Conflict:
        return
    simulation.show(status)
