"""Statements with choices: one text in a `.sql` file, one statement for each way to choose.

A line `-- variants: [id] [name] (oldest newest)` says what can be chosen: what stands in square
brackets is there or not, of what stands in round ones there is exactly one. A line of the statement
that ends in `--? id -name` belongs to the statements that were chosen with `id` and without
`name`; `id/name` means one of them or both. So a search has the index that fits it, where one
statement for all of them would have none.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Final

from openpns.storage.store import variant_name

_CHOICES: Final = re.compile(r"^-- variants: (.+)$", re.MULTILINE)
_CHOICE: Final = re.compile(r"\[(\w+)\]|\(([\w ]+)\)")
_MARK: Final = re.compile(r" *--\? (.+)$")


def variants(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Return name and text of each statement that one text stands for; itself without choices.

    Args:
        name: The name in the file.
        text: What stands below it.
    """
    choices = _CHOICES.search(text)
    if choices is None:
        yield name, text
        return
    options: list[list[tuple[str, ...]]] = [
        [(), (one,)] if one else [(each,) for each in several.split()]
        for one, several in _CHOICE.findall(choices[1])
    ]
    for picked in itertools.product(*options):
        chosen = frozenset(itertools.chain(*picked))
        lines = (_line(line, chosen) for line in text.splitlines())
        yield variant_name(name, chosen), "\n".join(line for line in lines if line is not None)


def _line(line: str, chosen: frozenset[str]) -> str | None:
    mark = _MARK.search(line)
    if mark is None:
        return line
    for word in mark[1].split():
        is_there = not chosen.isdisjoint(word.removeprefix("-").split("/"))
        if is_there == word.startswith("-"):
            return None
    return line[: mark.start()]
