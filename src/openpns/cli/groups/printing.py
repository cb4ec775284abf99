"""Number groups as a table, JSON, CSV or ids; page by page, so that memory stays small."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import click

from openpns import limits
from openpns.bulk.files import open_target, row_writer
from openpns.cli import options
from openpns.cli.output import GAP, cut, print_json_array, print_row, terminal_width, width
from openpns.client.group_types import Group, GroupDetails
from openpns.kit.plain_text import plain

Pages = Iterable[Sequence[Group]]

_HEAD: Final = ("groupId", "name", "count", "phones", "remark")
_TEXT_CELLS_MIN: Final = 7
_TEXT_CELLS_MAX: Final = 24
_PHONES_CELLS_MIN: Final = 19
_PHONES_CELLS_MAX: Final = 60


format_options = options.format_options(
    json="Print a JSON array.",
    csv="Print CSV that groups import reads.",
    spreadsheet="Print CSV for a spreadsheet, which groups import --spreadsheet reads.",
    ids="Print only the ids.",
)
"""The options that select the format; the command gets its name as `form`."""


def as_dict(group: Group) -> dict[str, Any]:
    """Return a group as its JSON shows it: with the names of the wire, phones as a list."""
    return {
        "groupId": group.group_id,
        "groupName": group.name,
        "phones": group.phones,
        "remark": group.remark,
        "customerId": group.customer_id,
    }


def as_row(group: Group) -> tuple[str, ...]:
    """Return a group as a row of `openpns.groups.rows.COLUMNS`."""
    return group.group_id, group.name, ",".join(group.phones), group.remark


def print_attributes(group: Group | GroupDetails, phones: int, *others: tuple[str, str]) -> None:
    """Print a group's attributes and others, one per line: its name and its value."""
    for name, value in (
        ("groupId", group.group_id),
        ("name", group.name),
        ("remark", group.remark),
        ("customer", group.customer_id),
        ("phones", str(phones)),
        *others,
    ):
        click.echo(f"{name:8}{GAP}{plain(value)}".rstrip())


def cut_phones(phones: Sequence[str], cells_max: int) -> str:
    """Return as many phones as fit into `cells_max` cells, and how many more there are."""
    if not phones:
        return "-"
    shown = [plain(phone) for phone in phones[: cells_max // (limits.PHONE_DIGITS_MIN + 1) + 1]]
    while shown:
        more = len(phones) - len(shown)
        text = ",".join(shown) + (f" +{more}" if more else "")
        if width(text) <= cells_max:
            return text
        shown.pop()
    return cut(f"+{len(phones)}", cells_max)


def _print_table(pages: Pages, empty: str) -> None:
    line = terminal_width()
    widths: list[int] = []
    for page in pages:
        wanted = _widths(page, line)
        if not widths:
            print_row(_HEAD, widths := wanted)
        # A later page may need wider columns. They never become narrower.
        widths = [max(*both) for both in zip(widths, wanted, strict=True)]
        for group in page:
            cells = _whole_cells(group) if line is None else _cells(group, widths)
            print_row(cells, widths)
    if not widths:
        click.echo(empty, err=True)


def _widths(page: Sequence[Group], line: int | None) -> list[int]:
    """Share a line among the columns: the phones get what the others leave.

    Without a line, which only a terminal has, nothing is cut: a text may be longer than its column,
    or one large group would fill the lines of all others with spaces.
    """
    name, remark = (
        max(width(head), *(width(plain(text)) for text in texts))
        for head, texts in (
            (_HEAD[1], [group.name for group in page]),
            (_HEAD[4], [group.remark for group in page]),
        )
    )
    group_id = max(width(_HEAD[0]), *(width(plain(group.group_id)) for group in page))
    wanted = max(width(_HEAD[3]), *(width(",".join(group.phones)) for group in page))
    name, remark = min(_TEXT_CELLS_MAX, name), min(_TEXT_CELLS_MAX, remark)
    if line is None:
        return [group_id, name, width(_HEAD[2]), min(_PHONES_CELLS_MAX, wanted), remark]
    room = line - group_id - width(_HEAD[2]) - len(GAP) * (len(_HEAD) - 1)
    while room - name - remark < _PHONES_CELLS_MIN and max(name, remark) > _TEXT_CELLS_MIN:
        name, remark = (name - 1, remark) if name > remark else (name, remark - 1)
    phones = min(wanted, max(width(_HEAD[3]), room - name - remark))
    return [group_id, name, width(_HEAD[2]), phones, remark]


def _whole_cells(group: Group) -> tuple[str, ...]:
    return (
        plain(group.group_id),
        plain(group.name),
        str(len(group.phones)).rjust(width(_HEAD[2])),
        plain(",".join(group.phones)) or "-",
        plain(group.remark),
    )


def _cells(group: Group, widths: Sequence[int]) -> tuple[str, ...]:
    return (
        plain(group.group_id),
        cut(plain(group.name), widths[1]),
        str(len(group.phones)).rjust(widths[2]),
        cut_phones(group.phones, widths[3]),
        cut(plain(group.remark), widths[4]),
    )


def _print_json(pages: Pages, _: str) -> None:
    print_json_array(as_dict(group) for page in pages for group in page)


def _print_csv(pages: Pages, _: str, *, guard: bool = False) -> None:
    with open_target("-") as out:
        write = row_writer(out, "csv", guard=guard)
        for page in pages:
            for group in page:
                write(as_row(group))


def _print_ids(pages: Pages, _: str) -> None:
    for page in pages:
        click.echo("".join(f"{plain(group.group_id)}\n" for group in page), nl=False)


PRINTERS: Final[dict[str, Callable[[Pages, str], None]]] = {
    "table": _print_table,
    "json": _print_json,
    "csv": _print_csv,
    "spreadsheet": partial(_print_csv, guard=True),
    "ids": _print_ids,
}
"""By format, the function that prints pages; a table prints its second argument if it is empty."""
