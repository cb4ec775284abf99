"""The values of options that are times or spans."""

import re
from datetime import UTC, datetime
from typing import Any, Final

import click

from openpns.clock import now_ms

_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_NEVER: Final = "never"
_UNIX_S: Final = re.compile(r"[0-9]{9,11}", re.ASCII)
_HAS_UNIT: Final = re.compile(r"[0-9]+[a-z]")


class Duration(click.ParamType[int]):
    """A time span such as 90s, 30m, 24h or 7d; its value is in ms."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the span in ms."""
        match = re.fullmatch(r"([0-9]{1,6})([smhd])", str(value))
        if match is None:
            self.fail(
                f"{value!r}: allowed is a number with s, m, h or d, such as 24h, of at most "
                "6 digits",
                param,
                ctx,
            )
        return int(match[1]) * _UNITS_MS[match[2]]


class Moment(click.ParamType[int]):
    """A date or a date and time, UTC without a zone; its value is in ms since 1970."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the moment in ms since 1970 UTC."""
        try:
            moment = datetime.fromisoformat(str(value))
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r}: allowed is a date such as 2027-01-31 or 2027-01-31T18:00+08:00",
                param,
                ctx,
            )
        return int(moment.timestamp() * 1000)


class Second(click.ParamType[datetime]):
    """A date and time, or seconds since 1970 as switches write them; the value is in UTC."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment, to the second."""
        if _UNIX_S.fullmatch(str(value)):
            return datetime.fromtimestamp(int(value), UTC)
        try:
            return datetime.fromtimestamp(Moment().convert(value, param, ctx) // 1000, UTC)
        except click.BadParameter as error:
            self.fail(f"{error.message}, or seconds since 1970 UTC", param, ctx)


class MomentOrNever(Moment):
    """A moment, or `never`, whose value is 0."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the moment in ms since 1970 UTC, or 0."""
        return 0 if value == _NEVER else super().convert(value, param, ctx)


class PastMoment(click.ParamType[int]):
    """A date, a date and time, or a span before now; its value is in ms since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the moment in ms since 1970 UTC."""
        if _HAS_UNIT.fullmatch(str(value)):
            return now_ms() - Duration().convert(value, param, ctx)
        try:
            return Moment().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(f"{error.message}, or a span before now such as 24h", param, ctx)
