"""What the demo shows while records flow: the live view of `watch` below a line of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from recon_stream.settings import Settings
from recon_stream.verify.watch_model import Model, match_rate
from recon_stream.verify.watch_sources import Feed
from recon_stream.verify.watch_view import render

FRAME_SECONDS = 0.3
LINE_SECONDS = 5.0
"""Between two lines where there is no terminal to draw on."""


class LiveView:
    """Draws while it is open. `async with LiveView(…)`; `headline` and `share` may be changed meanwhile."""

    def __init__(self, console: Console, settings: Settings, check: Callable[[], None]) -> None:
        """`check` is called with each frame; what it raises ends the view and is raised on leaving it."""
        self._console, self._check = console, check
        self._model = Model(started_at=time.time())
        self._feed = Feed(settings, self._model)
        self._task: asyncio.Task[None] | None = None
        self.headline = ""
        self.share: float | None = None
        """How much of the work is done, from 0 to 1; None where it has no end."""

    async def __aenter__(self) -> Self:
        await self._feed.__aenter__()
        self._task = asyncio.create_task(self._draw() if self._console.is_terminal else self._tell(), name="demo view")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        await self._feed.__aexit__(kind, error, trace)
        failed = self._task.done()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({self._task})
        if kind is None and failed:
            self._task.result()

    async def _draw(self) -> None:
        with Live(console=self._console, screen=True, auto_refresh=False, transient=True) as live:
            while True:
                self._check()
                layout = Layout()
                layout.split_column(Layout(self._top(), size=2), Layout(render(self._model, time.time())))
                live.update(layout, refresh=True)
                await asyncio.sleep(FRAME_SECONDS)

    def _top(self) -> RenderableType:
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        bar: RenderableType = Text("Ctrl-C ends", style="dim")
        if self.share is not None:
            bar = ProgressBar(total=1.0, completed=self.share)
        grid.add_row(Text(f" {self.headline}", style="bold"), bar)
        return Group(grid, Text())

    async def _tell(self) -> None:
        while True:
            self._check()
            await asyncio.sleep(LINE_SECONDS)
            counts = self._model.counts(time.time())
            matched, decided = match_rate(counts.verdicts)
            lag = {role: sum(topics.values()) for role, topics in self._model.lag.items()}
            self._console.print(
                f"{self.headline} · {matched:,} of {decided:,} matched · {sum(counts.open_breaks.values()):,} open breaks · "
                f"lag {', '.join(f'{role} {records:,}' for role, records in lag.items())}",
                highlight=False,
                soft_wrap=True,
            )
