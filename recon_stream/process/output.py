"""Standard output of a command that follows something: whether anybody still reads it."""

from __future__ import annotations

import errno
import os
import select
import stat

_STDOUT = 1


def ensure_reader() -> None:
    """Raise BrokenPipeError where standard output is a pipe whose reader has ended, as the next write would.

    A command that has nothing to write would otherwise go on for ever behind `… | head -1`. Asked between two polls.
    Files and terminals have no reader that could end. The command line ends quietly on this error.
    """
    try:
        mode = os.fstat(_STDOUT).st_mode
    except OSError:
        return  # there is no standard output
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return
    poll = select.poll()
    poll.register(_STDOUT, 0)  # POLLERR and POLLHUP are always told
    if poll.poll(0):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
