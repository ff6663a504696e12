"""The words that kubectl wraps around a refusal."""

INVALID = 'The WorkflowRun "run" is invalid: '
AND_UNCHECKED = (
    "\n* <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


def one_of_several(words: str) -> str:
    """A fault of the schema, after which the API server leaves the rules unchecked and says so."""
    return f"{INVALID}\n* {words}{AND_UNCHECKED}"
