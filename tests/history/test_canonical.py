"""The digest of small arguments is that of 0.2.0, however it is worked out."""

from __future__ import annotations

import hashlib
import json
from random import Random
from typing import Any

import pytest

from workflow_operator.history import Json, digest, matches

TEXTS = [
    "",
    "a",
    "b",
    "é",
    "\u2028",
    "\x7f",
    "\x1f",
    "\n",
    '"',
    "\\",
    "/",
    "<",
    "1.5",
    "1e5",
    "-01",
    "\U0001f600",
]
NUMBERS = [0, 1, -1, -10, 123456789012345, 1234567890123456, 10**20, -(10**30), 0.5, -0.0, 1e22, 1e-7, 123e300]


def value(random: Random, depth: int) -> Any:
    kind = random.randrange(6 if depth else 4)
    if kind == 0:
        return random.choice([None, True, False])
    if kind == 1:
        return random.choice(NUMBERS)
    if kind < 4:
        return "".join(random.choices(TEXTS, k=random.randrange(3)))
    if kind == 4:
        return [value(random, depth - 1) for _ in range(random.randrange(4))]
    return {random.choice(TEXTS) + random.choice("zyx"): value(random, depth - 1) for _ in range(random.randrange(4))}


@pytest.mark.parametrize("seed", range(50))
def test_a_digest_is_that_of_the_sorted_ascii_json(seed: int) -> None:
    random = Random(seed)
    for _ in range(40):
        given = value(random, 4)
        expected = json.dumps(given, sort_keys=True, separators=(",", ":"))
        found = digest({"payload": Json.of(given), "function": "f"})
        assert found == hashlib.sha256(f'{{"function":"f","payload":{expected}}}'.encode()).hexdigest()[:32], given
        assert matches(found, {"payload": Json.of(given), "function": "f"})


@pytest.mark.parametrize(
    "text",
    [
        '{"b":1,"a":2,"b":3}',
        '{"a": [1, 2 ]}',
        "[1, 2]",
        " 1",
        "[0,1,-7,null,true,false]",
        '["b","a"]',
        '"1.5"',
        '"\\u0061"',
        '"é"',
        "[[]]",
        "0",
        "10000000000000000",
        "-0",
        "-0.0",
        "1E5",
        "[-0,1]",
        "18446744073709551616",
        "9" * 300,
        "-" + "9" * 300,
    ],
)
def test_a_text_that_no_encoder_writes_has_the_digest_of_its_value(text: str) -> None:
    expected = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert digest(Json(text.encode())) == hashlib.sha256(expected.encode()).hexdigest()[:32]
    found = digest({"payload": Json(text.encode()), "function": "f"})
    assert found == hashlib.sha256(f'{{"function":"f","payload":{expected}}}'.encode()).hexdigest()[:32]
