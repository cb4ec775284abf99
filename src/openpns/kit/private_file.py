"""Files with secrets: nobody but their owner may read them, as ssh and PostgreSQL demand."""

import os
import shlex
import stat
from pathlib import Path
from typing import Final

from openpns.errors import ConfigError

_OWN_MODE: Final = 0o600
_OTHERS_MODE: Final = 0o640
"""Of a file of root or of somebody else: Kubernetes and package managers give such files to a
service through its group."""


def check_private(file: str | Path, descriptor: int, holds: str) -> None:
    """Refuse an open file that more users can read than need to.

    A file of this user may be readable and writable for this user only; one of root or of somebody
    else also readable for its group. Devices and pipes pass, and so does every file on Windows,
    which has no such modes.

    Args:
        holds: What the file holds, for the text, such as "the master key".

    Raises:
        ConfigError: The text has the file, its mode, and the command that corrects it.
    """
    if os.name != "posix":
        return
    found = os.fstat(descriptor)
    mode = stat.S_IMODE(found.st_mode)
    is_own = found.st_uid == os.geteuid()
    allowed = _OWN_MODE if is_own and found.st_uid != 0 else _OTHERS_MODE
    if stat.S_ISREG(found.st_mode) and mode & 0o077 & ~allowed:
        who = "others" if mode & 0o007 else "its group"
        raise ConfigError(
            f"{file}: holds {holds}, but {who} can use it (mode {mode:04o}); correct it with: "
            f"chmod {_OWN_MODE if is_own else _OTHERS_MODE:o} {shlex.quote(str(file))}"
        )
