"""Scripts that were written as modules: what they export is found, and their lines and columns stay the user's.

V8 evaluates a script. Where it refuses one for its ``export``, :func:`as_script` blanks that word
(``export function main`` becomes ``       function main``). Words in strings, comments, templates and regular
expressions are left alone: the text is read token by token, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

DEFAULT = "defaultExport"
"""The global that holds a default export: as long as ``export default``, so that columns stay."""

PREPARE_MODULE = f"var {DEFAULT};"
PREPARE_COMMONJS = "globalThis.exports = {}; globalThis.module = {exports: globalThis.exports};"

HOW_TO_BUNDLE = (
    "a script is one file: bundle it, for example with esbuild --bundle --format=iife --global-name=flow, "
    "which needs an exported function main"
)

_FROM_ANOTHER = f"export from another file is not available in workflow scripts: {HOW_TO_BUNDLE}"

_EXPORTS = re.compile(
    r"""\bmodule\s{0,8}\.\s{0,8}exports\b
    |\bexports\s{0,8}(?:\.\s{0,8}[\w$]+|\[[^\]\n]{1,64}\])\s{0,8}=[^=]
    |\bdefineProperty\(\s{0,8}exports\b""",
    re.VERBOSE,
)
# A wrapper that asks where it runs finds the global object, as in a browser.
_ASKS = re.compile(r"\btypeof\s{1,8}(?:exports|module)\b")

_TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]+|//[^\n\r\u2028\u2029]*|/\*.*?(?:\*/|\Z))
    |(?P<string>"(?:[^"\\\n\r]|\\(?:\r\n|.))*"|'(?:[^'\\\n\r]|\\(?:\r\n|.))*')
    |(?P<word>[\w$\\][\w$\\]*)
    |(?P<mark>=>|.)""",
    re.DOTALL | re.VERBOSE,
)
_REGEXP = re.compile(r"/(?:[^/\\\[\n\r]++|\\[^\n\r]|\[(?:[^\]\\\n\r]++|\\[^\n\r])*+\])++/[\w$]*")
# Each look for the end of a regular expression can read a whole line.
_MOST_LOOKS = 64
_TEMPLATE = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))*", re.DOTALL)

# What a value follows, so that a slash begins a regular expression and a brace an object.
_BEFORE_VALUE = frozenset(
    (
        *("return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "do", "else", "instanceof"),
        *("yield", "await"),
    )
)
_BEFORE_OBJECT = frozenset(("=", "(", ",", ":", "[", "?", "&", "|", "+", "!", "return", "typeof", "in"))
_BEFORE_CONDITION = frozenset(("if", "while", "for", "with"))


class NoScript(Exception):
    """The module cannot be a script. ``offset`` is the place in its text."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


@dataclass(frozen=True)
class Module:
    """A module as a script of the same length, and what it exports: exported name -> name in the script."""

    script: str
    exports: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    depth: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def is_commonjs(script: str) -> bool:
    """Whether a script hands out functions by ``module.exports`` without asking first whether there is one."""
    return "exports" in script and _EXPORTS.search(script) is not None and _ASKS.search(script) is None


def as_script(text: str) -> Module:
    """The module without its exports. Raises NoScript for what needs other files."""
    tokens = [token for token in _Reader(text).tokens() if token.kind != "space"]
    pieces: list[str] = []
    exports: dict[str, str] = {}
    done = 0
    for index, token in enumerate(tokens):
        if token.depth or token.kind != "word" or not _begins_statement(tokens, index):
            continue
        if token.text == "import" and _text(tokens, index + 1) not in ("(", "."):
            raise NoScript(f"import is not available in workflow scripts: {HOW_TO_BUNDLE}", token.start)
        if token.text != "export":
            continue
        replacement, end = _without_export(tokens, index, exports)
        pieces += (text[done : token.start], _same_length(text[token.start : end], replacement))
        done = end
    return Module("".join(pieces) + text[done:], exports)


def _without_export(tokens: list[_Token], index: int, exports: dict[str, str]) -> tuple[str, int]:
    """What stands in the place of an export, and where it ends."""
    export, following = tokens[index], _text(tokens, index + 1)
    if following == "{":
        return "", _read_list(tokens, index + 1, exports)
    if following == "*":
        raise NoScript(_FROM_ANOTHER, export.start)
    if following != "default":
        words = (token.text for token in tokens[index + 2 : index + 5] if token.kind == "word")
        name = next((word for word in words if word != "function"), "")
        exports[name] = name
        return "", export.end
    return _default(tokens, index + 1, exports)


def _default(tokens: list[_Token], index: int, exports: dict[str, str]) -> tuple[str, int]:
    head = index + 1
    if _text(tokens, head) == "async":
        head += 1
    exports["default"] = DEFAULT
    keyword = _text(tokens, head)
    if keyword not in ("function", "class"):
        return f"{DEFAULT}=", tokens[index].end
    name = head + 1 if _text(tokens, head + 1) != "*" else head + 2
    if _text(tokens, name) not in ("(", "{", "extends"):
        exports["default"] = _text(tokens, name)
        return "", tokens[index].end
    if keyword == "class":
        return f"{DEFAULT}=", tokens[index].end
    # A declaration wants a name; the words before it make room.
    words = [token.text for token in tokens[index + 1 : name]]
    return f"{' '.join(words)} {DEFAULT}", tokens[name - 1].end


def _read_list(tokens: list[_Token], index: int, exports: dict[str, str]) -> int:
    """``{a, b as c}`` and the semicolon behind it. Gives where it ends."""
    inside: list[str] = []
    index += 1
    while index < len(tokens) and tokens[index].text != "}":
        inside.append(tokens[index].text.strip("\"'"))
        index += 1
    if _text(tokens, index + 1) == "from":
        raise NoScript(
            f"export from another file is not available in workflow scripts: {HOW_TO_BUNDLE}", tokens[index].start
        )
    for entry in " ".join(inside).split(","):
        words = entry.split()
        if words and not (words[0].replace("$", "_").isidentifier() and len(words) in (1, 3)):
            raise NoScript("export: expected the name of a variable of the script", tokens[index - 1].start)
        if words:
            exports[words[-1]] = words[0]
    last = index + 1 if _text(tokens, index + 1) == ";" else index
    return tokens[min(last, len(tokens) - 1)].end


def _same_length(old: str, new: str) -> str:
    """``new``, with as many blanks and the same line ends as ``old``."""
    blanks = re.sub(r"[^\n\r\u2028\u2029]", " ", old[len(new) :])
    return new + blanks


def _begins_statement(tokens: list[_Token], index: int) -> bool:
    return index == 0 or tokens[index - 1].text not in (".", "?.", "=", "(", ",", ":")


def _text(tokens: list[_Token], index: int) -> str:
    return tokens[index].text if index < len(tokens) else ""


class _Reader:
    """Reads words, strings, templates, regular expressions and marks, each with the depth of brackets around it."""

    def __init__(self, text: str) -> None:
        self._text = text
        # Open brackets: "if" for the one of a condition, "object" for a brace where a value is expected, "`" for one
        # in a template; others are themselves.
        self._open: list[str] = []
        self._closed = ""
        self._before = ""
        # Looks for the end of a regular expression that found none: a script that parses has few.
        self._vain = 0

    def tokens(self) -> Iterator[_Token]:
        position = 0
        while position < len(self._text):
            kind, end = self._next(position)
            found = self._text[position:end]
            if kind == "mark" and found in ")]}" and self._open:
                self._closed = self._open.pop()
            yield _Token(kind, found, position, len(self._open))
            if kind == "mark" and found in "([{":
                self._open.append(self._kind_of(found))
            if kind == "template":
                # In a template's braces a value is expected; behind its end an operator.
                self._before = "(" if found.endswith("${") else "a"
            elif kind != "space":
                self._before = found if kind in ("word", "mark") else "a"
            position = end

    def _next(self, position: int) -> tuple[str, int]:
        first = self._text[position]
        if first == "`":
            return "template", self._template(position + 1)
        if first == "}" and self._open and self._open[-1] == "`":
            self._open.pop()
            return "template", self._template(position + 1)
        if first == "/" and self._text[position + 1 : position + 2] not in ("/", "*") and self._expects_value():
            regexp = _REGEXP.match(self._text, position) if self._vain < _MOST_LOOKS else None
            if regexp is not None:
                return "regexp", regexp.end()
            self._vain += 1
        found = _TOKEN.match(self._text, position)
        assert found is not None  # Its last alternative is any character.
        return found.lastgroup or "", found.end()

    def _template(self, begin: int) -> int:
        found = _TEMPLATE.match(self._text, begin)
        end = begin if found is None else found.end()
        if self._text.startswith("${", end):
            self._open.append("`")
            return end + 2
        return min(end + 1, len(self._text))

    def _kind_of(self, bracket: str) -> str:
        if bracket == "(" and self._before in _BEFORE_CONDITION:
            return "if"
        return "object" if bracket == "{" and self._before in _BEFORE_OBJECT else bracket

    def _expects_value(self) -> bool:
        before = self._before
        if before == ")":
            return self._closed == "if"
        if before == "}":
            return self._closed != "object"
        if before and (before[0].isalnum() or before[0] in "_$\\"):
            return before in _BEFORE_VALUE
        return before != "]"
