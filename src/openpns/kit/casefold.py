"""Group names as they are compared: whatever the case, in any script.

Source: docs/api/listGroup.md, "Find".
"""

import unicodedata

from openpns import limits


def folded_name(name: str) -> str:
    """Return a name as it is compared and ordered: two names that differ in case are the same.

    Args:
        name: A group's name, or its beginning.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    # Some characters fold to several; an index takes no text of any length.
    return folded[: limits.GROUP_NAME_CHARS_MAX]
