"""The feed of the mobile app: its part of the shared plan, to mobile_txns. Options as of `recon-stream produce`."""

from __future__ import annotations

from producers.commands import run_source

if __name__ == "__main__":
    run_source("mobile")
