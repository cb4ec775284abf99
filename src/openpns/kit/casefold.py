"""Names folded for comparison: without regard to case, in any script.

Source: docs/api/listGroup.md, "Find".
"""

import unicodedata

from openpns import limits


def fold_name(name: str) -> str:
    """Return a name, or its beginning, as it is compared and ordered."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    # Some characters fold to several; an index needs a bound.
    return folded[: limits.GROUP_NAME_CHARS_MAX]
