"""Number groups as a table, as JSON, as CSV or as ids; page by page, so that memory stays small."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from openpns import limits
from openpns.cli.group_file import open_target, row_writer
from openpns.cli.output import GAP, cut, plain, print_row, terminal_width, width

if TYPE_CHECKING:
    from openpns.client.group_types import Group
    from openpns.client.http import Client

Pages = Iterable[Sequence["Group"]]

_HEAD: Final = ("groupId", "name", "numbers", "phones", "remark")
_TEXT_CELLS: Final = (7, 24)
"""The least and the most cells that a name or a remark takes in the table."""
_PHONES_CELLS_MIN: Final = 19


def fetch_pages(client: "Client", limit: int | None, offset: int) -> Iterator[Sequence["Group"]]:
    """Return groups, oldest first, page by page.

    Args:
        client: Whom to ask.
        limit: At most so many; all where None.
        offset: How many to pass over.
    """
    if not offset:
        asked = min(limit or limits.GROUPS_IN_PAGE_MAX, limits.GROUPS_IN_PAGE_MAX)
        yield from in_pages(client.groups.iterate(asked), asked, limit)
        return
    left = limit
    while left is None or left > 0:
        asked = limits.GROUPS_IN_PAGE_MAX if left is None else min(left, limits.GROUPS_IN_PAGE_MAX)
        page = client.groups.list(limit=asked, offset=offset)
        offset += len(page.groups)
        if page.groups:
            yield page.groups
        if not page.groups or offset >= page.total:
            return
        left = None if left is None else left - len(page.groups)


def in_pages(
    groups: Iterator["Group"], page_size: int, limit: int | None
) -> Iterator[Sequence["Group"]]:
    """Return groups page by page, each as soon as it is there.

    Args:
        groups: The groups.
        page_size: How many stand on a page.
        limit: At most so many; all where None.
    """
    chosen = islice(groups, limit)
    while page := [*islice(chosen, page_size)]:
        yield page


def as_dict(group: "Group") -> dict[str, Any]:
    """Return a group as JSON shows it: the wire's names, and the numbers as a list.

    Args:
        group: The group.
    """
    return {
        "groupId": group.group_id,
        "groupName": group.name,
        "phones": group.phones,
        "remark": group.remark,
        "customerId": group.customer_id,
    }


def as_row(group: "Group") -> tuple[str, ...]:
    """Return a group as a row of COLUMNS.

    Args:
        group: The group.
    """
    return group.group_id, group.name, ",".join(group.phones), group.remark


def print_group(group: "Group") -> None:
    """Print one group for people, a number a line.

    Args:
        group: The group.
    """
    print_facts(
        (
            ("groupId", group.group_id),
            ("name", group.name),
            ("remark", group.remark),
            ("customer", group.customer_id),
            ("numbers", str(len(group.phones))),
        )
    )
    for phone in group.phones:
        click.echo(GAP + plain(phone))


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print what is known of one group, a fact a line.

    Args:
        facts: Names and values.
    """
    for name, value in facts:
        shown = plain(value)
        print_row((name, shown), (width("customer"), width(shown)))


def _print_table(pages: Pages, empty: str) -> None:
    line = terminal_width()
    widths: list[int] = []
    for page in pages:
        wanted = _widths(page, line)
        if not widths:
            print_row(_HEAD, widths := wanted)
        # A later page may be wider; it never makes the columns narrower again.
        widths = [max(*both) for both in zip(widths, wanted, strict=True)]
        for group in page:
            print_row(_cells(group, widths), widths)
    if not widths:
        click.echo(empty, err=True)


def _widths(page: Sequence["Group"], line: int) -> list[int]:
    """Share a line among the columns: the phones get what the others leave."""
    least, most = _TEXT_CELLS
    name, remark = (
        min(most, max(width(head), *(width(plain(text)) for text in texts)))
        for head, texts in (
            (_HEAD[1], [group.name for group in page]),
            (_HEAD[4], [group.remark for group in page]),
        )
    )
    group_id = max(width(_HEAD[0]), *(width(plain(group.group_id)) for group in page))
    room = line - group_id - width(_HEAD[2]) - len(GAP) * (len(_HEAD) - 1)
    for _ in range(2 * most):
        if room - name - remark >= _PHONES_CELLS_MIN or max(name, remark) <= least:
            break
        name, remark = (name - 1, remark) if name > remark else (name, remark - 1)
    wanted = max(width(_HEAD[3]), *(width(",".join(group.phones)) for group in page))
    phones = min(wanted, max(_PHONES_CELLS_MIN, room - name - remark))
    return [group_id, name, width(_HEAD[2]), phones, remark]


def _cells(group: "Group", widths: Sequence[int]) -> tuple[str, ...]:
    return (
        plain(group.group_id),
        cut(plain(group.name), widths[1]),
        str(len(group.phones)).rjust(widths[2]),
        cut_phones(group.phones, widths[3]),
        cut(plain(group.remark), widths[4]),
    )


def cut_phones(phones: Sequence[str], cells_max: int) -> str:
    """Return as many numbers as fit, and how many more there are.

    Args:
        phones: The numbers.
        cells_max: How many cells the text may take.
    """
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


def _print_json(pages: Pages, _: str) -> None:
    before = "["
    for page in pages:
        for group in page:
            click.echo(f"{before}\n  {json.dumps(as_dict(group), ensure_ascii=False)}", nl=False)
            before = ","
    click.echo("[]" if before == "[" else "\n]")


def _print_csv(pages: Pages, _: str) -> None:
    with open_target("-") as out:
        write = row_writer(out, "csv")
        for page in pages:
            for group in page:
                write(as_row(group))


def _print_ids(pages: Pages, _: str) -> None:
    for page in pages:
        click.echo("".join(f"{group.group_id}\n" for group in page), nl=False)


PRINTERS: Final[dict[str, Callable[[Pages, str], None]]] = {
    "table": _print_table,
    "json": _print_json,
    "csv": _print_csv,
    "ids": _print_ids,
}
"""How to print groups, by the name of the form; a table says what it is given without any."""
