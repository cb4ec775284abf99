"""Read JSON values from a large file one by one: items of an array, or values one after another."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any, Final

_CHUNK_BYTES: Final = 1 << 16
_SPACE: Final = re.compile(r"[ \t\r\n]*")


class RepeatedName:
    """What `unique_names` returns for an object that has a name twice."""


def unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any] | RepeatedName:
    """Return an object for `json`, which itself takes the last of two equal names silently."""
    made = dict(pairs)
    return made if len(made) == len(pairs) else RepeatedName()


class JsonValuesError(ValueError):
    """The file has something else; the text is what is wrong."""

    def __init__(self, line: int, what: str) -> None:
        self.line = line
        super().__init__(what)


def read_json_values(file: IO[bytes], chars_max: int) -> Iterator[tuple[int, Any]]:
    """Return the line on which a value begins, counted from 1, and the value.

    If the file begins with "[", the values are the items of this array. Memory holds one value, of
    `chars_max` characters or not many more. Objects are those of `unique_names`.

    Raises:
        JsonValuesError: It is not JSON in UTF-8, ends too early, or a value is too long.
    """
    text = _Text(file, chars_max)
    if not text.skip("["):
        while text.peek():
            yield text.value()
        return
    if not text.skip("]"):
        yield text.value()
        while text.skip(","):
            yield text.value()
        if not text.skip("]"):
            raise JsonValuesError(text.line, "the array has no end, or no comma between two items")
    if text.peek():
        raise JsonValuesError(text.line, "something follows the array")


class _Text:
    """The text of a file from a place on."""

    def __init__(self, file: IO[bytes], chars_max: int) -> None:
        self.line = 1
        self._file = file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._scan = json.JSONDecoder(object_pairs_hook=unique_names).raw_decode
        self._chars_max = chars_max
        self._text = ""
        self._at = 0
        self._is_at_end = False

    def peek(self) -> str:
        """Return the next character that is no white space; nothing at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            assert found is not None
            self._move(found.end())
            if self._at < len(self._text) or not self._read():
                return self._text[self._at : self._at + 1]

    def skip(self, char: str) -> bool:
        """Move behind a character, if it is the next one."""
        if self.peek() != char:
            return False
        self._move(self._at + 1)
        return True

    def value(self) -> tuple[int, Any]:
        """Move behind the next value; return its line and the value."""
        self.peek()
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except (ValueError, RecursionError):
                if len(self._text) - self._at > self._chars_max:
                    raise JsonValuesError(
                        self.line, f"is no JSON of at most {self._chars_max} characters"
                    ) from None
                # It may end later: each try reads as much again, so that all take linear time.
                if not self._read():
                    raise JsonValuesError(self.line, "is not JSON") from None
                continue
            if end == len(self._text) and self._read():  # a number may continue
                continue
            line = self.line
            self._move(end)
            return line, value

    def _move(self, at: int) -> None:
        self.line += self._text.count("\n", self._at, at)
        self._at = at

    def _read(self) -> bool:
        """Read more; return whether there was more."""
        if self._is_at_end:
            return False
        self._text, self._at = self._text[self._at :], 0
        content = self._file.read(max(_CHUNK_BYTES, len(self._text)))
        self._is_at_end = not content
        try:
            self._text += self._decode(content, final=self._is_at_end)
        except UnicodeDecodeError:
            raise JsonValuesError(self.line, "is not UTF-8") from None
        return True
