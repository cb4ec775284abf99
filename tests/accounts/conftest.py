"""The fixtures of number groups, which customers count."""

from tests.groups.conftest import mine, query, secret_box, sound_tables, theirs

__all__ = ["mine", "query", "secret_box", "sound_tables", "theirs"]
