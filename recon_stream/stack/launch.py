"""`python -m recon_stream.stack.launch RECORD UID GID LOCK PROGRAM ARGUMENT…`: become a recorded process of its own session.

The first process ends when the record is written; the second has written it and becomes the program, after it has given up
root where UID and GID say so (-1: keep). The descriptor LOCK (-1: none) is held until then.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from recon_stream.stack.files import write_private
from recon_stream.stack.process import started


def main(record: str, uid: str, gid: str, lock: str, program: str, *arguments: str) -> None:
    """Fork, record the child, and run the program in it."""
    if int(lock) >= 0:
        os.set_inheritable(int(lock), False)
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        recorded = os.read(reading, 1)
        os._exit(0 if recorded else 1)
    os.close(reading)
    os.setsid()
    os.umask(0o077)
    pid = os.getpid()
    content = {"pid": pid, "started": started(pid), "command": [program, *arguments]}
    write_private(Path(record), json.dumps(content))
    if int(uid) >= 0:
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    os.write(writing, b".")
    os.execv(program, [program, *arguments])  # the pipe closes by itself: descriptors are not inherited


if __name__ == "__main__":
    main(*sys.argv[1:])
