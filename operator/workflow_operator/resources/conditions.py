"""The conditions of a run: computed anew each time, with what must stay of the ones before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from workflow_operator.resources.run import TERMINAL_CONDITIONS, Condition, ConditionStatus, ConditionType

# The columns Reason and Message show the first condition that is True, so a verdict goes before an activity. Finished
# says the least: it is True beside Complete and Failed.
_MOST_TELLING_FIRST: Final = (
    ConditionType.FAILED,
    ConditionType.COMPLETE,
    ConditionType.STALLED,
    ConditionType.SUSPENDED,
    ConditionType.RECONCILING,
    ConditionType.FINISHED,
)


def is_final(condition: Condition) -> bool:
    """Whether the API server refuses every later change of this condition."""
    return condition.status is ConditionStatus.TRUE and condition.type in TERMINAL_CONDITIONS


def set_conditions(before: Iterable[Condition], wanted: Iterable[Condition]) -> tuple[Condition, ...]:
    """The conditions to write: the wanted ones and those before that are final, the most telling first.

    ``last_transition_time`` of a wanted condition is the time now; where the status is the same as before, the time
    from before is kept. A condition that was final before stays as it was, whatever is wanted. Any other condition
    from before that is no longer wanted is left out.
    """
    earlier = {condition.type: condition for condition in before}
    kept = {name: condition for name, condition in earlier.items() if is_final(condition)}
    fresh = {condition.type: _settled(earlier.get(condition.type), condition) for condition in wanted}
    return tuple(sorted((fresh | kept).values(), key=_rank))


def _settled(earlier: Condition | None, wanted: Condition) -> Condition:
    if earlier is None or earlier.status is not wanted.status:
        return wanted
    return wanted.model_copy(update={"last_transition_time": earlier.last_transition_time})


def _rank(condition: Condition) -> tuple[int, str]:
    names = [str(name) for name in _MOST_TELLING_FIRST]
    return (names.index(condition.type) if condition.type in names else len(names), condition.type)
