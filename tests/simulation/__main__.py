"""`python -m tests.simulation --seed N [--trace]` replays one seed; `--seeds A..B` runs many."""

from __future__ import annotations

import sys

from tests.simulation.commands import main

sys.exit(main())
