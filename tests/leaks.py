"""Looking for what must stand in no log, error or metric: secrets, and whole phone numbers."""

import base64
import json
import logging
import re
from collections.abc import Callable
from urllib.parse import quote

# The numbers of tests, but not a part of an id or of a time in ms.
_TEST_NUMBER = re.compile(r"(?<![0-9a-f.])(?:852[0-9]{8}|8613[0-9]{9})(?![0-9a-f])")


class Leaks:
    """Texts that must not show up anywhere, in any of the forms that texts take on their way.

    Args:
        marks: What to look for, by what it is.
    """

    def __init__(self, **marks: str) -> None:
        self._forms: dict[str, str] = {}
        for what, text in marks.items():
            self.mark(what, text)

    def mark(self, what: str, text: str) -> None:
        """Look for a text from now on.

        Args:
            what: What it is, for people.
            text: The text.
        """
        raw = text.encode()
        for form in (
            text,
            quote(text, safe=""),
            json.dumps(text)[1:-1],
            raw.hex(),
            base64.b64encode(raw).decode().rstrip("="),
            base64.urlsafe_b64encode(raw).decode().rstrip("="),
        ):
            self._forms[form] = what

    def found_in(self, text: str) -> set[str]:
        """Return what of it stands in a text.

        Args:
            text: The text.
        """
        return {what for form, what in self._forms.items() if form in text}

    def require_none(self, where: str, text: str) -> None:
        """Fail where any of it stands in a text.

        Args:
            where: What the text is, for the failure.
            text: The text.
        """
        found = self.found_in(text)
        lines = [line for line in text.splitlines() if self.found_in(line)]
        assert not found, f"{where} shows {sorted(found)}: {lines[:3] or text[:300]}"


class LogWatch:
    """Looks at every log record of this process, whoever logs it and whatever is then written.

    Args:
        leaks: What must not be found.
        make_record: Makes the records; None for what makes them now.
    """

    def __init__(
        self, leaks: Leaks, make_record: Callable[..., logging.LogRecord] | None = None
    ) -> None:
        self._leaks = leaks
        self._make_record = make_record or logging.getLogRecordFactory()
        self.found: list[str] = []
        """What was found."""

    def begin(self) -> None:
        logging.setLogRecordFactory(self._watched)

    def end(self) -> None:
        logging.setLogRecordFactory(self._make_record)

    def _watched(self, *args: object, **kwargs: object) -> logging.LogRecord:
        record = self._make_record(*args, **kwargs)
        text = record.getMessage()
        if shown_in(self._leaks, text):
            self.found.append(f"{record.name}: {text}")
        return record


def shown_in(leaks: Leaks, text: str) -> bool:
    """Tell whether a text shows a secret, or one of the numbers that tests use."""
    return bool(leaks.found_in(text) or _TEST_NUMBER.search(text))
