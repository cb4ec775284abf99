"""Text of others that a terminal can show: without characters that control it."""

import re
from typing import Final

# Explicit marks, embeddings, overrides and isolates of the direction of writing; line and paragraph
# separator; invisible characters without a width, except joiners, which languages and emoji need;
# halves of surrogate pairs, which cannot be encoded.
_BEYOND_ASCII: Final = (
    "\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff"
)
_UNSAFE: Final = re.compile(f"[\x00-\x1f{_BEYOND_ASCII}]")
_UNSAFE_IN_JSON: Final = re.compile(f"[{_BEYOND_ASCII}]")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def plain(text: str) -> str:
    """Replace characters that move the cursor, change colours or direction, or are invisible."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub("\ufffd", text)


def without_controls(text: str) -> str:
    """Replace control characters; keep marks of the direction and others that names may need."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub("\ufffd", text)


def plain_json(json_text: str) -> str:
    r"""Escape, as \uXXXX, the same characters in JSON whose control characters are escaped already.

    They can only be inside of strings, so the JSON keeps its value.
    """
    if json_text.isascii() and "\x7f" not in json_text:
        return json_text
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)


def brief(text: str, chars_max: int) -> str:
    """Return the beginning of a text as plain text, "…" at the place of a cut."""
    return plain(text if len(text) <= chars_max else f"{text[:chars_max]}…")
