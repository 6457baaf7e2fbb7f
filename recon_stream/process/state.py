"""One folder of state for one process: two of them in one folder corrupt each other."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from recon_stream.errors import ConfigurationError


def lock_folder(folder: Path) -> IO[str]:
    """Take the folder for this process until the file that is returned is closed; the kernel lets go of it at the end.

    Raises ConfigurationError that names the process in possession.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+")
    except OSError as error:
        raise ConfigurationError(f"state folder {folder}: {error.strerror} (RECON_STATE_DIR)") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise ConfigurationError(
            f"state folder {folder} is in use by process {owner}; stop it, or give this one another RECON_PROCESS_INDEX"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
