"""Regenerate the tables of the docs from the structs, settings, codes and bounds.

A generated table is between `<!-- begin generated: NAME -->` and `<!-- end generated -->`.

    python tools/docs_tables.py           rewrite stale tables
    python tools/docs_tables.py --check   change nothing; list stale files and exit with 1
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec

from openpns import limits
from openpns.api.registry import ACTIONS
from openpns.errors import WIRE_ERRORS, TransportError, WireError
from openpns.kit.environment import PREFIX
from openpns.protocol.fields import RequestBody, describe, fields_of, meaning
from openpns.server.settings import FIELDS

DOCS: Final = Path(__file__).parents[1] / "docs"
EXTENSIONS_FROM: Final = 19_000
"""Codes from here on are extensions of openpns."""

_BLOCK: Final = re.compile(
    r"(<!-- begin generated: ([A-Za-z ]+) -->\n).*?(<!-- end generated -->)", re.DOTALL
)

BOUNDS: Final = (
    ("Groups in a page", limits.GROUPS_IN_PAGE_MAX, None),
    ("Phones in a page of listGroupPhones", limits.PHONES_IN_PAGE_MAX, None),
    ("Virtual numbers in a page", limits.NUMBERS_IN_PAGE_MAX, None),
    ("Bindings in a page", limits.BINDINGS_IN_PAGE_MAX, None),
    ("Call records in a page", limits.CALL_RECORDS_IN_PAGE_MAX, None),
    ("Deliveries in a page", limits.DELIVERIES_IN_PAGE_MAX, None),
    ("Largest `offset`", limits.OFFSET_MAX, None),
    ("Difference between `ts` and the server's clock, in ms", limits.TS_SKEW_MS_MAX, None),
    ("Characters in `groupName`", limits.GROUP_NAME_CHARS_MAX, None),
    ("Characters in `remark`", limits.REMARK_CHARS_MAX, None),
    ("Characters in `customerBindId`", limits.CUSTOMER_BIND_ID_CHARS_MAX, None),
    ("Characters in `hangupCause`", limits.HANGUP_CAUSE_CHARS_MAX, None),
    ("Characters in `recordFile`", limits.RECORD_FILE_CHARS_MAX, None),
    ("Largest `expireSecond`: ten years", limits.EXPIRE_SECOND_MAX, None),
    ("Extension bindings on a virtual number", limits.EXTENSIONS_ON_NUMBER_MAX, None),
    ("Characters in `clientToken`", limits.CLIENT_TOKEN_CHARS_MAX, None),
    ("Digits in a phone, at least", limits.PHONE_DIGITS_MIN, None),
    ("Digits in a phone, at most", limits.PHONE_DIGITS_MAX, None),
    ("Bytes in a body", limits.BODY_BYTES_MAX, "body_bytes_max"),
    ("Phones in a group", limits.PHONES_IN_GROUP_MAX, "phones_in_group_max"),
    ("Phones in a request", limits.PHONES_IN_REQUEST_MAX, "phones_in_request_max"),
    ("Bindings on a virtual number", limits.BINDINGS_PER_NUMBER_MAX, "bindings_per_number_max"),
)
"""What is bounded, the bound, and the setting that changes it, if any."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def request_table(request: type[RequestBody]) -> str:
    """Return the table of an action's request fields."""
    fields = fields_of(request)
    wire_names = {field.name: field.encode_name for field in fields}
    rows = []
    for field in fields:
        allowed, out_of_range = describe(field)
        if out_of_range.code != WIRE_ERRORS[1002].code:
            allowed += f"; an integer outside is {out_of_range.code}"
        others = request.needed_unless.get(field.name, ())
        without = " or ".join(f"`{wire_names[other]}`" for other in others)
        required = "yes" if field.required else f"without {without}" if without else "no"
        rows.append((f"`{field.encode_name}`", required, _capital(allowed), meaning(field)))
    return table(("Field", "Required", "Allowed", "Meaning"), rows)


def answer_table(answer: type | None, *, in_data: bool) -> str:
    """Return the table of an action's response fields.

    Args:
        answer: The struct of the fields; None for none.
        in_data: Whether they are in `data` or at the top level of the envelope.
    """
    if answer is None:
        return "This action returns only the envelope.\n"
    return table(("Field", "Type", "Meaning"), _answer_rows(answer, "data." if in_data else ""))


def _answer_rows(struct: type, before: str) -> Iterator[tuple[str, str, str]]:
    types = get_type_hints(struct)
    for field in msgspec.structs.fields(struct):
        kind: Any = types[field.name]
        yield f"`{before}{field.encode_name}`", _type_name(kind), meaning(field)
        if _is_list_of_structs(kind):
            yield from _answer_rows(get_args(kind)[0], f"{before}{field.encode_name}[].")


def _is_list_of_structs(kind: Any) -> bool:
    return get_origin(kind) is list and hasattr(get_args(kind)[0], "__struct_fields__")


def _type_name(kind: Any) -> str:
    if get_origin(kind) is list:
        return "list" if _is_list_of_structs(kind) else f"list of {_type_name(get_args(kind)[0])}"
    names = {int: "integer", bool: "true or false", str: "text", type(None): "null"}
    kinds = [part for part in get_args(kind) or (kind,) if part is not msgspec.UnsetType]
    return " or ".join(names[part] for part in kinds)


def errors_table() -> str:
    """Return the table of all codes."""
    rows = [
        (
            f"`{code}`" + (" (extension)" if code >= EXTENSIONS_FROM else ""),
            f"`{error.__name__}`",
            error.text,
            ", ".join(map(str, _statuses(error))),
            _meaning(error),
            error.advice,
        )
        for code, error in sorted(WIRE_ERRORS.items())
    ]
    return table(("Code", "SDK class", "`msg` begins", "HTTP status", "When", "What to do"), rows)


def _statuses(error: type[WireError]) -> list[int]:
    return sorted({error.http_status, *(kind.http_status for kind in error.__subclasses__())})


def _meaning(error: type[Exception]) -> str:
    return " ".join((error.__doc__ or "").split())


def transport_errors_table() -> str:
    """Return the table of the SDK's errors without a response of the API."""
    rows = [
        (
            f"`{error.__name__}`",
            _meaning(error),
            error.advice,
        )
        for kind in TransportError.__subclasses__()
        for error in (kind, *kind.__subclasses__())
    ]
    return table(("SDK class", "Meaning", "What to do"), rows)


def settings_table() -> str:
    """Return the table of the server's settings."""
    rows = []
    for field in FIELDS:
        default = "none" if field.default is None else f"`{field.default}`"
        rows.append(
            (
                f"`{field.name}`",
                f"`--{field.name.replace('_', '-')}`",
                f"`{PREFIX}{field.name.upper()}`",
                "required" if field.required else default,
                _capital(describe(field)[0]),
                meaning(field),
            )
        )
    return table(("Setting", "Flag", "Variable", "Default", "Allowed", "Meaning"), rows)


def bounds_table() -> str:
    """Return the table of the bounds that users meet."""
    rows = [
        (what, f"{bound:,}".replace(",", " "), f"`{setting}`" if setting else "part of the API")
        for what, bound, setting in BOUNDS
    ]
    return table(("What", "Bound", "Changed by"), rows)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] if text[:1].isalpha() and ":" not in text else text


def makers() -> dict[str, Callable[[], str]]:
    """Return the function that makes each table, by the name in its marker."""
    tables: dict[str, Callable[[], str]] = {
        "settings": settings_table,
        "errors": errors_table,
        "transport errors": transport_errors_table,
        "bounds": bounds_table,
    }
    for name, action in ACTIONS.items():
        tables[f"request {name}"] = partial(request_table, action.request)
        tables[f"answer {name}"] = partial(
            answer_table, action.answer, in_data=action.answer_in_data
        )
    return tables


def rewrite(text: str) -> str:
    """Return a page with its tables regenerated.

    Raises:
        KeyError: A marker names an unknown table.
    """
    tables = makers()
    return _BLOCK.sub(lambda block: f"{block[1]}{tables[block[2]]()}{block[3]}", text)


def main(arguments: Sequence[str]) -> int:
    """Rewrite or, with `--check`, check all pages; return the exit code."""
    stale = False
    for page in sorted(DOCS.rglob("*.md")):
        old = page.read_text("utf-8")
        new = rewrite(old)
        if new == old:
            continue
        stale = True
        if arguments == ["--check"]:
            print(f"{page.relative_to(DOCS.parent)}: stale; run: make docs", file=sys.stderr)
        else:
            page.write_text(new, "utf-8")
            print(f"rewrote {page.relative_to(DOCS.parent)}")
    return int(stale and arguments == ["--check"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
