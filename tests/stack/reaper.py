"""`reaper.py STATE_DIR`: reset the stack there and delete the folder when the standard input ends, which the death of the test run does too."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys

from recon_stream.settings import load_settings
from recon_stream.stack import local

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.read()
    asyncio.run(local.reset(load_settings({"RECON_STATE_DIR": sys.argv[1]})))
    shutil.rmtree(sys.argv[1])
