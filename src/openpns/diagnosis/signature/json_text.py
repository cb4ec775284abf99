"""Rewrite white space and key order of JSON, and nothing else.

A JSON library would also change numbers and escapes.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

JSON_TOKENS_MAX: Final = 20_000
"""Longer bodies are not rewritten."""

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)


class Object(msgspec.Struct, frozen=True):
    """An object; its keys are as written, with their quotes."""

    members: tuple[tuple[str, "Node"], ...]


class Array(msgspec.Struct, frozen=True):
    """An array."""

    items: tuple["Node", ...]


Node: TypeAlias = Object | Array | str
"""A value; a str is a string, a number or a literal as written."""


class Style(msgspec.Struct, frozen=True):
    """Where white space is written."""

    comma: str
    colon: str
    indent: str | None = None
    """The indentation per level; None for a single line."""


COMPACT: Final = Style(",", ":")
STYLES: Final[dict[str, Style]] = {
    "no spaces, as JavaScript, Go and PHP write it": COMPACT,
    "a space after each comma and colon, as Python writes it": Style(", ", ": "),
    "a space after each colon": Style(",", ": "),
    "a space after each comma": Style(", ", ":"),
    "lines indented by 2 spaces": Style(",", ": ", "  "),
    "lines indented by 4 spaces": Style(",", ": ", "    "),
    "lines indented by a tab": Style(",", ": ", "\t"),
    "lines indented by 2 spaces, as Jackson writes it": Style(",", " : ", "  "),
}
"""How JSON libraries write white space."""


@lru_cache(maxsize=16)
def parse(body: bytes) -> Node | None:
    """Parse a body; return None if it is not JSON or very long."""
    try:
        text = body.decode()
        json.loads(text)
        tokens = _TOKEN.findall(text)
        return _node(tokens[::-1]) if len(tokens) <= JSON_TOKENS_MAX else None
    except (ValueError, RecursionError):
        return None


def _node(tokens: list[str]) -> Node:
    """Pop a value from the end of the reversed tokens."""
    first = tokens.pop()
    if first not in ("{", "["):
        return first
    closing = "}" if first == "{" else "]"
    members: list[tuple[str, Node]] = []
    items: list[Node] = []
    while tokens[-1] != closing:
        if tokens[-1] == ",":
            tokens.pop()
        if first == "{":
            key = tokens.pop()
            tokens.pop()  # the colon
            members.append((key, _node(tokens)))
        else:
            items.append(_node(tokens))
    tokens.pop()
    return Object(tuple(members)) if first == "{" else Array(tuple(items))


def write(node: Node, style: Style) -> bytes:
    """Return a value as JSON in a style."""
    return "".join(_write(node, style, "\n")).encode()


def _write(node: Node, style: Style, line: str) -> Iterator[str]:
    if isinstance(node, str):
        yield node
        return
    is_object = isinstance(node, Object)
    yield "{" if is_object else "["
    members = node.members if isinstance(node, Object) else [("", item) for item in node.items]
    inner = line if style.indent is None else line + style.indent
    for place, (key, value) in enumerate(members):
        yield style.comma if place else ""
        yield "" if style.indent is None else inner
        yield f"{key}{style.colon}" if is_object else ""
        yield from _write(value, style, inner)
    if members and style.indent is not None:
        yield line
    yield "}" if is_object else "]"


def styles_of(body: bytes, node: Node) -> list[Style]:
    """Return the style of a body, or the two most usual styles if it has none of STYLES."""
    for style in STYLES.values():
        if write(node, style) == body:
            return [style]
    return [COMPACT, Style(", ", ": ")]


def with_keys(node: Node, order: Callable[[list[str]], list[str]]) -> Node:
    """Return a value with the keys of every object in another order."""
    if isinstance(node, str):
        return node
    if isinstance(node, Array):
        return Array(tuple(with_keys(item, order) for item in node.items))
    values = {key: with_keys(value, order) for key, value in node.members}
    return Object(tuple((key, values[key]) for key in order(list(values))))
