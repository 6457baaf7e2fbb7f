"""The feed of core banking: its part of the shared plan, to core_txns. Options as of `recon-stream produce`."""

from __future__ import annotations

from producers.commands import run_source

if __name__ == "__main__":
    run_source("core")
