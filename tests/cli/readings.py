"""Texts of YAML and JSON, for which kubectl and local mode must give the same value of ``spec.input``."""

import re
from typing import Any, Final

from workflow_operator.cli.manifest import read
from workflow_operator.history.errors import InvalidInput

REFUSED: Final = "refused"

WORDS: Final = re.findall(
    r"\S+",
    """
    9:30:00 22:15 1:2 -1:30 190:20:30.15 1e3 1E3 1e+3 1.5e3 5e-1 1e 1e400 -1e400 1e-400 .5 .5e1 +.5 -.5 5. 5.e2 . ..
    ._5 0o17 017 0755 0o755 08 0o8 09.5 0x1F 0X1f -0x10 0x 0xG +0x1 0b101 0B11 -0b11 +0b1 0b 0b2 0b-1 0b+1 -0b-1 0O7
    0xFFFFFFFFFFFFFFFF 0xFFFFFFFFFFFFFFFFF 0x1p3 1_000 1__0 1_ _1 0_7 0x_1 -1_000 1_000.5 1_0e1_0 +1 -1 + - -- 0 -0
    00 +0 -0.0 0.0 1.0 1.10 100000000000000000000 9007199254740993 9223372036854775807 9223372036854775808
    -9223372036854775808 -9223372036854775809 18446744073709551615 18446744073709551616 1e18 1e19 1e21 1e22 1.5e300
    1.7976931348623157e308 4.9e-324 0.1 123456789.123456789 00000000000000000000001 007777777777777777777777 y Y yes
    Yes YES yEs n N no No NO on On ON off Off OFF oFF true True TRUE tRue false False FALSE t f yes! nope ~ null
    Null NULL nULL nil None .inf -.inf +.inf .Inf .INF .iNF .nan .NaN .NAN inf nan Infinity 2026-12-24 2026-1-2
    2026-13-45 2026-01-01T10:00:00Z 2026-01-01t10:00:00+01:00 2026-01-01 2026 12-24 1.2.3 1,000 0.1.0 v1 1a 0d 1e5a
    1.e 0x1.8 = << <<x ü 日本 ١٢٣
    """,
)
"""Each stands without quotes, as value and as key."""

VALUES: Final = {
    "a date and a time": "2026-01-01 10:00:00",
    "nothing": "",
    "quotes": "{a: 'yes', b: \"1e3\", c: '', d: \"\\u00e9\\n\\x41\\L\"}",
    "single quotes": "'it''s'",
    "own tags": "[!own 5, !own yes, !own {a: 1}, ! 5, ! yes, !<tag:yaml.org,2002:str> 5]",
    "text by tag": "[!!str 5, !!str yes, !!str ~, !!str 2026-01-01]",
    "numbers by tag": '[!!int "5", !!int 0x10, !!float 5, !!float 1e3, !!float 0x10]',
    "words by tag": "[!!bool yes, !!null '', !!null ~]",
    "times by tag": "[!!timestamp 2026-01-01, !!timestamp '2026-01-01T10:00:00Z', !!timestamp 2026-1-1 1:2:3]",
    "no whole number": "!!int abc",
    "no whole number, but one": "!!int 1.5",
    "no number": "!!float x",
    "a number too large for its tag": "!!float 18446744073709551615",
    "no truth": "!!bool 1",
    "no null": "!!null x",
    "no time": "!!timestamp x",
    "no time of a day": "!!timestamp 2026-01-01T25:00:00Z",
    "a time with both": "!!timestamp 2026-01-01 10:00:00Z",
    "binary": "[!!binary aGVsbG8=, !!binary \"aGVs\\nbG8=\", !!binary gICA4oI=, !!binary '']",
    "no binary": "!!binary a",
    "no binary either": "!!binary 'a$VsbG8='",
    "collections by tag": "{a: !!set {x, y}, b: !!omap [x: 1], c: !!seq [1], d: !!map {e: 1}, f: !!pairs [a: 1]}",
    "keys in no order": "{b: 1, a: 2, 10: 3, 9: 4, Z: 5, é: 6, ~x: 7}",
    "keys of all kinds": "{1.5: a, 1e3: b, 1e6: c, 123456.5: d, 0.1: e, 1e-5: f, 123456789.5: g}",
    "keys of more kinds": "{yes: h, 0x10: i, -.inf: j, .nan: a, 16777217.5: b, 1e40: c, -0.0: d}",
    "small keys": "{3.4028235e38: e, 1e-50: f, 0.0001: g, 2026-01-01: h, -1.5: i}",
    "a key null": "{~: 1}",
    "a key of nothing": "{: 1}",
    "a key too large": "{18446744073709551615: 1}",
    "a key that is a list": "{[1]: 1}",
    "a key that is a mapping": "{{a: 1}: 1}",
    "a binary key": "{!!binary aGVsbG8=: 1}",
    "a key without value": "{a, b: , c}",
    "explicit keys": "{? a : 1, ? b}",
    "keys twice": "{a: 1, b: 2, a: 3}",
    "a merge before": "{x: &x {a: 1, b: 2}, y: {<<: *x, b: 3}}",
    "a merge behind": "{x: &x {a: 1, b: 2}, y: {b: 3, <<: *x}}",
    "merges": "{x: &x {a: 1, b: 2}, z: &z {a: 4, c: 5}, y: {<<: [*x, *z, {d: 6}]}}",
    "a merge in place": "{<<: {a: 1}, b: 2}",
    "a merge in quotes": "{'<<': {a: 1}, b: 2}",
    "a merge by tag": "{!!merge '<<': {a: 1}, b: 2}",
    "a merge of text": "{<<: a}",
    "a merge of a list of texts": "{<<: [a]}",
    "a merge of a list by alias": "{x: &x [{a: 1}], y: {<<: *x}}",
    "anchors": "{a: &a 5, b: *a, c: &c [1, *a], d: *c, e: &a yes, f: *a}",
    "an anchor as key": "{a: &a x, *a : 1}",
    "an anchor that is not there": "*nowhere",
    "an anchor within itself": "&a [*a]",
    "an anchor of a key": "{&a k: 1, b: *a}",
    "percent": "'%d'",
    "a comment": "5 # five",
    "no comment": "5#five",
    "nesting": "[" * 60 + "]" * 60,
    "escapes of halves": '"\\ud83d\\ude00"',
    "JSON": '{"a": [1, 1.0, 1e3, -0, null, true, "\\u00e9"]}',
    "JSON over lines": '{"a":\n      1}',
    "a colon": "{a:1, b: 2}",
    "a url": "{a: http://x/y, b: x:y}",
}
"""Each behind ``input:``."""

LITERAL = """\
apiVersion: workflow-operator.dev/v1alpha1
kind: WorkflowRun
metadata: {name: NAME}
spec:
  script: x
  input:
"""

BLOCKS: Final = {
    "literal": "    a: |\n      one\n\n        two\n    b: |-\n      x\n    c: |+\n      x\n\n",
    "folded": "    a: >\n      one\n      two\n\n      three\n    b: >-\n      x\n        y\n      z\n",
    "indented by number": "    a: |2\n         x\n       y\n",
    "plain over lines": "    a: one\n      two\n\n      three\n",
    "quoted over lines": "    a: \"one\n      two\\\n      three\n\n      four\"\n    b: 'x\n\n      y'\n",
    "tabs behind a colon": "    a:\t1\n    b: \t x\t\n",
    "a tab as indentation": "    a:\n\t- 1\n",
    "a tab in a literal": "    a: |\n      \tx\n",
    "CRLF": "    a: |\r\n      one\r\n      two\r\n    b: x\r\n",
    "list at the level of its key": "    a:\n    - 1\n    -\n      - 2\n    - - 3\n      - 4\n    - b: 5\n      c: 6\n",
    "duplicates over lines": "    a: 1\n    b: {c: 1, c: 2}\n    a: 3\n",
    "an end": "    a: 1\n...\nthis is [ not looked at\n",
    "a literal at the end": "    a: |\n      one",
    "a literal kept to the end": "    a: |+\n      one\n\n\n",
    "control characters": "    a: \"\\0\\a\\e\"\n    b: x\u2028y\n    c: 'x\u0085y'\n",
    "a bell": "    a: \a\n",
    "explicit keys": "    ? a\n    : 1\n    ? |\n      b\n    : 2\n",
    "a document that is no YAML": "    a: [1\n",
    "a wrong indentation": "    a: 1\n   b: 2\n",
    "a reserved mark": "    a: @x\n",
    "a percent": "    a: %x\n",
    "a question": "    a: ?x\n    b: ? x\n",
    "a dash": "    a: - x\n",
    "dashes": "    a: -x\n    b: --- x\n    c: ---\n",
    "many aliases": "    a: &a [" + ",".join("x" * 20) + "]\n    b: [" + ",".join(["*a"] * 60) + "]\n",
    "too many aliases": "    a: &a [" + ",".join("x" * 200) + "]\n    b: [" + ",".join(["*a"] * 2_000) + "]\n",
    "laughs": "    a0: &a0 [x]\n"
    + "".join(f"    a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
    "a long key": "    " + "k" * 1_100 + ": 1\n",
    "an unfinished quote": "    a: 'x\n",
    "a comment in between": "    a: 1\n# nothing\n    b: 2\n",
}
"""Each is a block under ``input:``, four blanks in."""

HEADER = "apiVersion: workflow-operator.dev/v1alpha1\nkind: WorkflowRun\nmetadata: {name: NAME}\n"
RUN = HEADER + "spec: {script: x, input: {a: 1e3}}\n"
OTHER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n"
JSON_RUN = (
    '{"apiVersion": "workflow-operator.dev/v1alpha1", "kind": "WorkflowRun", "metadata": {"name": "NAME"}, '
    '"spec": {"script": "x", "input": INPUT}}'
)

FILES: Final[dict[str, str | bytes]] = {
    "a separator before": "---\n" + RUN,
    "separators with comments": "# c\n--- # c\n" + RUN + "---   #c\n",
    "a separator with a value": "--- {a: 1}\n" + RUN,
    "a separator and more dashes": "----\n" + RUN,
    "empty documents": "---\n---\n# nothing\n---\n" + RUN + "---\n",
    "a directive": "%YAML 1.2\n---\n" + RUN,
    "another kind beside": RUN + "---\n" + OTHER,
    "a byte order mark": b"\xef\xbb\xbf" + RUN.encode(),
    "UTF-16": RUN.encode("utf-16"),
    "UTF-16 with separators": ("---\n" + RUN + "---\n" + OTHER).encode("utf-16"),
    "UTF-16 of the other order": b"\xfe\xff" + ("---\n" + RUN).encode("utf-16-be"),
    "CRLF": RUN.replace("\n", "\r\n"),
    "CR": RUN.replace("\n", "\r"),
    "no end of line": RUN.rstrip(),
    "JSON": JSON_RUN.replace("INPUT", '{"b": 1, "a": [1.0, 1e3, -0, -0.0, 18446744073709551615, 1e-7, "\\u00e9"]}'),
    "JSON over lines": "\n\n" + JSON_RUN.replace(", ", ",\n  ").replace("INPUT", "1"),
    "JSON with keys twice": JSON_RUN.replace("INPUT", '{"a": 1, "a": 2}'),
    "JSON with half an emoji": JSON_RUN.replace("INPUT", '"\\ud83d"'),
    "JSON with a number too large": JSON_RUN.replace("INPUT", "1e999"),
    "JSON with a control character": JSON_RUN.replace("INPUT", '"a\tb"'),
    "JSON and more": JSON_RUN.replace("INPUT", "1") + "\n---\n" + OTHER,
    "JSON twice": JSON_RUN.replace("INPUT", "1") + JSON_RUN.replace("INPUT", "2").replace("WorkflowRun", "Other"),
    "JSON that is YAML": "{apiVersion: workflow-operator.dev/v1alpha1, kind: WorkflowRun, metadata: {name: NAME}, "
    "spec: {script: x, input: 1e3}}",
    "JSON with a comma too much": JSON_RUN.replace("INPUT", "[1,]"),
    "JSON with a comment": "# c\n" + JSON_RUN.replace("INPUT", "1"),
}
"""Whole files."""


def manifests() -> dict[str, bytes]:
    """Every text above as a manifest of its own, whose run is called as ``NAME`` says."""
    pairs = [f"    a: {word}\n" for word in WORDS] + [f"    {word}: x\n" for word in WORDS]
    inline = {f"value: {name}": LITERAL[:-1] + f" {text}\n" for name, text in VALUES.items()}
    blocks = {f"block: {name}": LITERAL + text for name, text in BLOCKS.items()}
    all_of_them = {f"word: {text.strip()}": LITERAL + text for text in pairs} | inline | blocks
    named = {f"file: {name}": text for name, text in FILES.items()}
    return {name: text if isinstance(text, bytes) else text.encode() for name, text in (all_of_them | named).items()}


def as_local_mode_reads(text: bytes) -> Any:
    try:
        runs = [each.value for each in read(text) if isinstance(each.value, dict)]
    except InvalidInput:
        return REFUSED
    inputs = [run["spec"].get("input") for run in runs if run.get("kind") == "WorkflowRun"]
    return inputs[0] if inputs else REFUSED


def same(theirs: Any, ours: Any) -> bool:
    """kubectl prints a large float without a point, as Go does: so numbers are compared by what they are."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return list(theirs) == list(ours) and all(same(theirs[name], ours[name]) for name in theirs)
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(same(a, b) for a, b in zip(theirs, ours, strict=True))
    if isinstance(theirs, int | float) and isinstance(ours, int | float):
        return isinstance(theirs, bool) == isinstance(ours, bool) and float(theirs) == float(ours)
    return type(theirs) is type(ours) and theirs == ours
