"""The fixtures of number groups, on which the write path and the accounts are tested."""

from tests.groups.conftest import mine, query, secret_box, sound_tables, theirs

__all__ = ["mine", "query", "secret_box", "sound_tables", "theirs"]
