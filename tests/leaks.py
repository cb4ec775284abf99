"""Find what no log, error or metric may contain: secrets and whole phone numbers."""

import base64
import json
import logging
import re
from collections.abc import Callable
from urllib.parse import quote

# The numbers of tests, but not a part of an id or of a time in ms.
_TEST_NUMBER = re.compile(r"(?<![0-9a-f.])(?:852[0-9]{8}|8613[0-9]{9})(?![0-9a-f])")


class Leaks:
    """Texts that must not appear, in any encoding; each has a name for people."""

    def __init__(self, **marks: str) -> None:
        self._forms: dict[str, str] = {}
        for what, text in marks.items():
            self.mark(what, text)

    def mark(self, what: str, text: str) -> None:
        """Look for a text from now on."""
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
        """Return the names of the texts that a text contains."""
        return {what for form, what in self._forms.items() if form in text}

    def require_none(self, where: str, text: str) -> None:
        """Fail if a text contains any of them; `where` names the text."""
        found = self.found_in(text)
        lines = [line for line in text.splitlines() if self.found_in(line)]
        assert not found, f"{where} shows {sorted(found)}: {lines[:3] or text[:300]}"


class LogWatch:
    """Checks every log record of this process, also those that no handler writes."""

    def __init__(
        self, leaks: Leaks, make_record: Callable[..., logging.LogRecord] | None = None
    ) -> None:
        self._leaks = leaks
        self._make_record = make_record or logging.getLogRecordFactory()
        self.found: list[str] = []

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
    """Return whether a text shows a secret or a phone number of the tests."""
    return bool(leaks.found_in(text) or _TEST_NUMBER.search(text))
