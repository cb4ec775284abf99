"""Migrations of databases in memory: a process runs them once, and then copies the tables."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

import apsw

from openpns.storage.migrations import Migration
from openpns.storage.sqlite import migrate as on_disk
from openpns.storage.sqlite.connections import open_file

_images: Final[dict[tuple[Migration, ...], tuple[bytes, list[Migration]]]] = {}
"""A migrated database without other rows, by its steps; and the steps that were missing."""


def migrate(
    connection: apsw.Connection,
    known: Sequence[Migration],
    check: Callable[[Sequence[Migration]], object],
    *,
    with_post: bool,
) -> list[Migration]:
    """Apply the missing steps and return them, as `sqlite.migrate.migrate` does.

    An emulator makes a database for each test; the steps would take longer than most tests.
    """
    if on_disk.read_applied(connection):
        return on_disk.migrate(connection, known, check, with_post=with_post)
    steps = tuple(known)  # an empty database gets all, also those of `with_post`
    if steps not in _images:
        missing = on_disk.migrate(connection, known, check, with_post=with_post)
        _images[steps] = connection.serialize("main"), missing
        return missing
    image, missing = _images[steps]
    with closing(open_file(":memory:")) as source:
        source.deserialize("main", image)
        with connection.backup("main", source, "main") as copying:
            copying.step()
    return list(missing)
