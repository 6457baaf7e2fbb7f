"""`python -m recon_stream`: the same as the console script."""

from __future__ import annotations

from recon_stream.cli import main

main()
