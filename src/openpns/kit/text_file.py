"""Files that people write in an editor: UTF-8, with or without a byte order mark.

What is wrong with a file is returned, not raised: it may hold a secret, and the frames of a
traceback hold their variables.
"""

import codecs
import re
import tomllib
from typing import Any, Final

_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PLACE: Final = re.compile(r"\(at (line [0-9]+, column [0-9]+|end of document)\)")
_TOML_ALLOWED: Final = 'allowed are lines such as name = "a text" and name = 1'


def decode_text(content: bytes) -> tuple[str, str | None]:
    """Return the text of a file without a byte order mark, and what is wrong if it is not UTF-8."""
    if content.startswith(_UTF16):
        return "", "is UTF-16; save it as UTF-8"
    try:
        return content.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return "", f"line {line}: is not UTF-8"


def parse_toml(content: bytes) -> tuple[dict[str, Any], str | None]:
    """Return the values of a TOML file, and what is wrong and where if it is not TOML."""
    text, problem = decode_text(content)
    if problem:
        return {}, problem
    try:
        return tomllib.loads(text), None
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.search(str(error))
    except RecursionError:
        found = None
    return {}, f"{found[1] if found else 'a value'}: not TOML; {_TOML_ALLOWED}"
