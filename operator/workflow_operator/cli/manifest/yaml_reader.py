"""From the text of one YAML document to the value that kubectl makes of it. Pure.

libyaml parses, as goyaml is its twin in Go; what the nodes mean is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from workflow_operator.cli.manifest import scalars
from workflow_operator.cli.manifest.scalars import Unreadable
from workflow_operator.history.errors import InvalidInput

MAX_DEPTH: Final = 200
"""Levels of arrays and objects that are read; a run has at most 100."""

_LEVELS_WITH_LINES: Final = 4
_MERGE: Final = "tag:yaml.org,2002:merge"
# goyaml's measure of documents that are mostly repeated by aliases: how many nodes may come from aliases.
_ALIASES_FREE: Final = 100
_NODES_FREE: Final = 1_000
_NODES_GENEROUS: Final = 400_000
_NODES_STRICT: Final = 4_000_000


@dataclass(frozen=True)
class Document:
    """One document of a file.

    ``value`` is what kubectl makes of it, the keys in order, as the API server stores them. Lines count from 1:
    ``lines`` has those of keys in the top levels, by path, as ``("spec", "script")``; ``texts`` those at which a text
    in the second level begins, where its lines are the file's (not folded, nor quoted over several); ``doubles`` those
    of keys that are given twice, with the key.
    """

    value: Any
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)
    texts: dict[tuple[str, ...], int] = field(default_factory=dict)
    doubles: list[tuple[int, str]] = field(default_factory=list)


@dataclass
class _Node:
    """``content``: the text of a scalar, the items of a sequence, the keys and values in turn of a mapping, or what an
    alias stands for."""

    kind: type[yaml.Event]
    line: int
    content: Any
    tag: str | None = None
    plain: bool = False
    literal: bool = False


class YamlReader:
    """Reads one document, the first of its text, as goyaml does; whatever follows ``...`` is not looked at.

    ``looked_at`` counts the nodes that were turned into values, those of aliases each time anew.
    """

    def __init__(self, first_line: int) -> None:
        self._first_line = first_line
        self._anchors: dict[str, _Node] = {}
        self._open: set[int] = set()
        self.looked_at = 0
        self._from_aliases = 0
        self._alias_depth = 0
        self._lines: dict[tuple[str, ...], int] = {}
        self._texts: dict[tuple[str, ...], int] = {}
        self._doubles: list[tuple[int, str]] = []

    def document(self, text: bytes) -> Document:
        try:
            events = yaml.parse(text, Loader=yaml.CSafeLoader)
            root = next((self._node(event, events, 0) for event in events if isinstance(event, yaml.NodeEvent)), None)
            next(events, None)  # whether the document ends where its value does
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"line {self._line(mark.line)}, column {mark.column + 1}: " if mark else ""
            raise InvalidInput(f"{where}not YAML: {error.problem or error.context}") from error
        except yaml.YAMLError as error:
            raise InvalidInput(f"not YAML: {error}") from error
        value = None if root is None else self._value(root, ())
        return Document(value, self._lines, self._texts, self._doubles)

    def _line(self, number: int) -> int:
        return self._first_line + number + 1

    def _refuse(self, node: _Node, why: object) -> InvalidInput:
        return InvalidInput(f"line {self._line(node.line)}: {why}")

    # --- from events to nodes

    def _node(self, event: yaml.NodeEvent, events: Iterator[yaml.Event], depth: int) -> _Node:
        node = _Node(type(event), event.start_mark.line if event.start_mark else 0, None)
        if depth > MAX_DEPTH:
            raise self._refuse(node, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            node.content = self._anchors.get(event.anchor or "")
            if node.content is None:
                raise self._refuse(node, f"*{event.anchor} refers to an anchor that is not there")
            return node
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        if isinstance(event, yaml.ScalarEvent):
            node.content, node.tag, node.plain = event.value, event.tag, event.implicit[0]
            node.literal = event.style == "|"
            return node
        node.content = []
        for each in events:
            if not isinstance(each, yaml.NodeEvent):
                break
            node.content.append(self._node(each, events, depth + 1))
        return node

    # --- from nodes to values

    def _value(self, node: _Node, path: tuple[str, ...], *, as_key: bool = False) -> Any:
        self._count(node)
        if node.kind is yaml.AliasEvent:
            return self._aliased(node, path, as_key=as_key)
        if node.kind is yaml.ScalarEvent:
            return self._scalar(node, path, as_key=as_key)
        if as_key:
            raise self._refuse(node, "a list or a mapping cannot be a key")
        if len(path) > MAX_DEPTH:
            raise self._refuse(node, f"nested deeper than {MAX_DEPTH} levels")
        if node.kind is yaml.SequenceStartEvent:
            return [self._value(each, (*path, "")) for each in node.content]
        found: dict[str, Any] = {}
        self._fill(found, node, path)
        return {name: found[name] for name in sorted(found)}

    def _count(self, node: _Node) -> None:
        self.looked_at += 1
        self._from_aliases += self._alias_depth > 0
        if (
            self._from_aliases > _ALIASES_FREE
            and self.looked_at > _NODES_FREE
            and self._from_aliases / self.looked_at > _allowed_share(self.looked_at)
        ):
            raise self._refuse(node, "the document consists almost only of repetitions by aliases")

    def _aliased(self, node: _Node, path: tuple[str, ...], *, as_key: bool) -> Any:
        if id(node) in self._open:
            raise self._refuse(node, "an alias stands within what it refers to")
        self._open.add(id(node))
        self._alias_depth += 1
        value = self._value(node.content, path, as_key=as_key)
        self._alias_depth -= 1
        self._open.remove(id(node))
        return value

    def _scalar(self, node: _Node, path: tuple[str, ...], *, as_key: bool) -> scalars.Scalar:
        try:
            value = scalars.scalar(node.content, node.tag, node.plain)
            if isinstance(value, int | float) and not isinstance(value, bool) and not as_key:
                value = scalars.number(value)
        except Unreadable as error:
            raise self._refuse(node, error) from error
        if isinstance(value, str) and len(path) == 2 and not as_key and (node.literal or "\n" not in value):
            self._texts[path] = self._line(node.line) + node.literal
        return value

    def _fill(self, found: dict[str, Any], node: _Node, path: tuple[str, ...]) -> None:
        """Put the pairs of a mapping into ``found``, those of merged ones (``<<``) where the merge stands."""
        mine: set[str] = set()
        for key, value in zip(node.content[::2], node.content[1::2], strict=True):
            if _is_merge(key):
                self._merge(found, value, path)
                continue
            try:
                name = scalars.key(self._value(key, path, as_key=True))
            except Unreadable as error:
                raise self._refuse(key, error) from error
            if name in mine:
                self._doubles.append((self._line(key.line), name))
            mine.add(name)
            if len(path) < _LEVELS_WITH_LINES:
                self._lines[*path, name] = self._line(key.line)
            found[name] = self._value(value, (*path, name))

    def _merge(self, found: dict[str, Any], node: _Node, path: tuple[str, ...]) -> None:
        # Of several, the first one wins.
        for each in reversed(node.content) if node.kind is yaml.SequenceStartEvent else (node,):
            target = each.content if each.kind is yaml.AliasEvent else each
            if target.kind is not yaml.MappingStartEvent:
                raise self._refuse(each, "<< expects a mapping, or a list of mappings")
            found.update(self._value(each, path))


def _is_merge(node: _Node) -> bool:
    return node.kind is yaml.ScalarEvent and node.content == "<<" and (node.plain or node.tag == _MERGE)


def _allowed_share(nodes: int) -> float:
    beyond = (nodes - _NODES_GENEROUS) / (_NODES_STRICT - _NODES_GENEROUS)
    return 0.99 - 0.89 * min(max(beyond, 0.0), 1.0)
