"""Files that appear under their name only when they are complete and on disk."""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def draft_beside(target: Path, side_files: Sequence[str] = ()) -> Iterator[Path]:
    """Create an empty file with mode 0600 in the folder of `target`; delete it after the block.

    Files with its name and a suffix of `side_files` are deleted, too.

    Raises:
        OSError: The file cannot be created.
    """
    descriptor, name = tempfile.mkstemp(".draft", f"{target.name}.", target.parent)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        for suffix in ("", *side_files):
            Path(f"{name}{suffix}").unlink(missing_ok=True)


def publish(draft: Path, target: Path) -> None:
    """Sync a draft and rename it to `target`, replacing a file that exists."""
    sync(draft)
    draft.replace(target)
    sync(target.parent)


def publish_new(draft: Path, target: Path) -> bool:
    """Sync a draft and link it as `target`; return False if a file exists there, which stays."""
    sync(draft)
    try:
        os.link(draft, target)
    except FileExistsError:
        return False
    sync(target.parent)
    return True


def sync(path: Path) -> None:
    """Write a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if hasattr(fcntl, "F_FULLFSYNC") and path.is_file():  # macOS: fsync ends in a cache
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    finally:
        os.close(descriptor)
