"""Fixtures: two customers' bindings."""

from tests.bindings.conftest import mine, query, sound_tables, theirs

__all__ = ["mine", "query", "sound_tables", "theirs"]
