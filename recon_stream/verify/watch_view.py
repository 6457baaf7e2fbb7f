"""One frame of `watch`: a model drawn for the width and height that there is. Colour never says a thing alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from recon_stream.domain.breaks import BreakClass
from recon_stream.domain.event import SOURCE_TOPICS, Verdict
from recon_stream.storage.verdicts import Move
from recon_stream.topics import GROUPS, RESULTS
from recon_stream.verify.moves import BreakMove, clock, evidence, money, printable
from recon_stream.verify.watch_model import Model, match_rate, sources_of
from recon_stream.verify.watch_sources import TOPICS

WIDE = 120
NEWEST_UNBOUNDED = 12
"""Mismatches shown where the height is not bounded."""
SEVERITY_STYLES = {"CRITICAL": "bold red", "HIGH": "red", "MEDIUM": "yellow", "LOW": "cyan"}
MOVE_STYLES = {Move.OPENED: "red", Move.REOPENED: "red", Move.CHANGED: "yellow", Move.RESOLVED: "green"}
_VERDICT_STYLES = {
    Verdict.MATCHED: ("✓", "green"),
    Verdict.MATCHED_WITHIN_TOLERANCE: ("≈", "green"),
    Verdict.PENDING: ("…", "yellow"),
    Verdict.BROKEN: ("✗", "red"),
    Verdict.ACCEPTED: ("◆", "blue"),
    Verdict.VOID: ("○", "dim"),
}
_VERDICTS_ALWAYS = (Verdict.MATCHED, Verdict.PENDING, Verdict.BROKEN)
_BLOCKS = " ▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_LAG_WARNING = 10_000  # records: some seconds of work
_DIM = "grey50"
_FLOW_WIDTH = 66


def render(model: Model, now: float) -> RenderableType:
    """The frame for an instant in epoch seconds; it takes the width and, on a terminal, the height that it is given."""
    return _Frame(model, now)


@dataclass(frozen=True, slots=True)
class _Frame:
    model: Model
    now: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or (console.height - 1 if console.is_terminal else None)
        wide = options.max_width >= WIDE
        parts = _wide_top(self, options.max_width) if wide else _narrow_top(self, options.max_width, height)
        foot = _foot(self.model)
        # the lines above are counted as they come out, so that the list of mismatches takes exactly what is left
        used = len(console.render_lines(Group(*parts), options.update(height=None), pad=False))
        used += len(console.render_lines(foot, options.update(height=None), pad=False)) + 1
        lines = 1 if wide else 2
        room = NEWEST_UNBOUNDED if height is None else max(1, (height - used - (1 if wide else 0)) // lines)
        newest = list(self.model.newest)[:room]
        yield Group(*parts, _title("Newest mismatches"), _newest(newest, wide=wide))
        if height is not None:
            blank = height - used - (1 if wide and newest else 0) - (len(newest) * lines if newest else 1)
            yield from [Text()] * max(0, blank)
        yield foot


def _narrow_top(frame: _Frame, width: int, height: int | None) -> list[RenderableType]:
    roomy = height is None or height >= 34
    verdicts, breaks = _verdicts(frame), _breaks(frame, 11 if roomy else 4)
    counts = Table.grid(padding=(0, 2, 0, 0), expand=True)
    counts.add_column(ratio=1)
    counts.add_column(ratio=1)
    counts.add_row(verdicts, breaks)
    return [
        _head(frame),
        _figures(frame, width),
        _title(f"Verdicts and open breaks ({_origin(frame)})"),
        counts,
        _title("Flow"),
        _flow(frame),
    ]


def _wide_top(frame: _Frame, width: int) -> list[RenderableType]:
    columns = Table.grid(padding=(0, 3, 0, 0), expand=True)
    columns.add_column(ratio=1)
    columns.add_column(ratio=1)
    columns.add_column(width=_FLOW_WIDTH)
    origin = _origin(frame)
    columns.add_row(
        Group(Text("VERDICTS", style="bold"), _verdicts(frame)),
        Group(Text("OPEN BREAKS", style="bold"), _breaks(frame, 11)),
        _flow(frame),
    )
    return [_head(frame), _figures(frame, width), _title(f"Verdicts and open breaks ({origin}) · flow"), columns]


def _head(frame: _Frame) -> RenderableType:
    model = frame.model
    grid = Table.grid(expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    title = Text.assemble((" recon-stream", "bold"), f"  {model.broker}")
    if model.rules_version:
        title.append(f" · rules {printable(model.rules_version)}")
    state = f"{len(model.away)} AWAY" if model.away else "LIVE"
    grid.add_row(title, Text(f"  {state}  {clock(int(frame.now * 1000))} UTC "), style="white on grey23")
    return grid


def _figures(frame: _Frame, width: int) -> RenderableType:
    model, now = frame.model, frame.now
    counts = model.counts(now)
    matched, decided = match_rate(counts.verdicts)
    opened = sum(counts.open_breaks.values())
    figures: list[tuple[str, Text]] = [
        ("MATCH RATE", Text(f"{_percent(matched, decided)}", style="bold green" if decided else "bold")),
        ("DECIDED", Text(f"{decided:,}", style="bold")),
        ("RECORDS IN", _rate(model.topic_rate(SOURCE_TOPICS, now))),
        ("RESULTS", _rate(model.rate(RESULTS, now))),
        ("OPEN BREAKS", Text(f"{opened:,}", style="bold red" if opened else "bold")),
        ("DEAD LETTERS", Text(f"{sum(counts.dead_letters.values()):,}", style="bold")),
    ]
    if width >= WIDE:
        spark = sparkline(model.history(SOURCE_TOPICS), min(60, width - 6 * 16))
        figures.append(("RECORDS IN, LAST MINUTE", Text(spark or "-", style="cyan")))
    grid = Table.grid(expand=True, padding=(0, 1))
    for place in range(len(figures)):
        grid.add_column(no_wrap=True, ratio=4 if place == 6 else 1)
    grid.add_row(*(Text(name, style=_DIM) for name, _ in figures))
    grid.add_row(*(value for _, value in figures))
    return grid


def _origin(frame: _Frame) -> str:
    return frame.model.counts(frame.now).origin


def _verdicts(frame: _Frame) -> RenderableType:
    verdicts = frame.model.counts(frame.now).verdicts
    shown = [verdict for verdict in _VERDICT_STYLES if verdict in _VERDICTS_ALWAYS or verdicts.get(verdict)]
    total = sum(verdicts.values())
    rows = []
    for verdict in shown:
        mark, style = _VERDICT_STYLES[verdict]
        name = verdict.replace("MATCHED_WITHIN_TOLERANCE", "WITHIN_TOLERANCE")
        rows.append((f"{mark} {name}", style, verdicts.get(verdict, 0)))
    return _Bars(rows, total)


def _breaks(frame: _Frame, rows_max: int) -> RenderableType:
    counts = frame.model.counts(frame.now).open_breaks
    order = {str(name): place for place, name in enumerate(BreakClass)}
    found = sorted(counts.items(), key=lambda item: (-item[1], order.get(item[0], len(order))))
    if not found:
        return Text("none open", style="green")
    shown = found if len(found) <= rows_max else found[: rows_max - 1]
    rows = [(printable(name), "red", number) for name, number in shown]
    if len(shown) < len(found):
        rest = found[len(shown) :]
        rows.append((f"{len(rest)} other classes", _DIM, sum(number for _, number in rest)))
    return _Bars(rows, found[0][1])


@dataclass(frozen=True, slots=True)
class _Bars:
    """Rows of (name, style, number) with a bar each that takes what is left of the width; a dim row has none."""

    rows: Sequence[tuple[str, str, int]]
    full: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names = max(len(name) for name, _, _ in self.rows)
        numbers = max(len(f"{number:,}") for _, _, number in self.rows)
        room = max(0, options.max_width - names - numbers - 2)
        for name, style, number in self.rows:
            drawn = "" if style == _DIM else bar(number, self.full, room)
            line = Text.assemble((f"{name:<{names}}", style), f" {number:>{numbers},} ", (drawn, style))
            line.truncate(options.max_width)
            yield line


def _flow(frame: _Frame) -> RenderableType:
    model, now = frame.model, frame.now
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=_DIM)
    table.add_column("TOPIC", no_wrap=True)
    for name in ("IN /s", "WORKER LAG", "SINK LAG", "WATERMARK"):
        table.add_column(name, justify="right", no_wrap=True)
    for topic in TOPICS:
        table.add_row(
            topic,
            _rate(model.rate(topic, now), unit=""),
            *(_lag(model, role, topic) for role in GROUPS),
            _watermark(model, topic),
        )
    return table


def _lag(model: Model, role: str, topic: str) -> Text:
    if topic not in GROUPS[role]:
        return Text("")
    lag = model.lag.get(role, {}).get(topic)
    if lag is None or "Kafka" in model.away:
        return Text("?", style=_DIM)
    return Text(f"{lag:,}{' !' if lag >= _LAG_WARNING else ''}", style="bold yellow" if lag >= _LAG_WARNING else "")


def _watermark(model: Model, topic: str) -> Text:
    if topic not in SOURCE_TOPICS:
        return Text("")
    if sources_of(topic) in model.sample.deadlines_held:
        return Text("STALLED", style="bold red")
    age = model.sample.watermark_age.get(topic)
    return Text("?", style=_DIM) if age is None else Text(f"{duration(age)} ago")


def _newest(moves: Sequence[BreakMove], *, wide: bool) -> RenderableType:
    if not moves:
        return Text("none since the start", style=_DIM)
    if wide:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=_DIM, expand=True)
        for name in ("TIME", "MOVE", "SEVERITY", "CLASS", "SUBJECT"):
            table.add_column(name, no_wrap=True)
        table.add_column("EXPECTED → ACTUAL", no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column("AMOUNT", justify="right", no_wrap=True)
        table.add_column("TRANSACTION", no_wrap=True, overflow="ellipsis")
        for move in moves:
            table.add_row(
                clock(move.at), Text(move.move, style=MOVE_STYLES[move.move]), _severity(move), _class(move), printable(move.subject), evidence(move),
                money(move.amount_minor, move.currency), printable(move.txn_id),
            )  # fmt: skip
        return table
    lines: list[RenderableType] = []
    for move in moves:
        first = Text.assemble(
            f"{clock(move.at)} ", _padded(_severity(move), 9), _padded(_class(move), 34), printable(move.subject)
        )
        lines += [
            _edges(first, Text(move.move, style=MOVE_STYLES[move.move])),
            _edges(
                Text(f"{'':9}{evidence(move)}", style="default"),
                Text(f"{money(move.amount_minor, move.currency)}  {printable(move.txn_id)}", style=_DIM),
            ),
        ]
    return Group(*lines)


def _severity(move: BreakMove) -> Text:
    return Text(printable(move.severity), style=SEVERITY_STYLES.get(move.severity, ""))


def _class(move: BreakMove) -> Text:
    name = printable(move.break_class) + (f"/{printable(move.subtype)}" if move.subtype else "")
    return Text(name, style="bold")


def _padded(text: Text, width: int) -> Text:
    text.append(" " * max(1, width - len(text)))
    return text


def _edges(left: Text, right: Text) -> RenderableType:
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(left, right)
    return grid


def _foot(model: Model) -> RenderableType:
    parts = []
    for role in ("worker", "sink", "web"):
        processes = model.of_role(role)
        unready = [process for process in processes if process.reasons]
        if not processes:
            parts.append(Text(f"{role} none", style=_DIM if role == "web" else "bold yellow"))
        elif unready:
            why = printable(unready[0].reasons[0])
            parts.append(Text(f"{role} {len(processes) - len(unready)}/{len(processes)} ready ({why})", style="yellow"))
        else:
            parts.append(Text(f"{role} {len(processes)} ready", style="green"))
    away = [Text(f"AWAY {name}: {printable(why)}", style="bold red") for name, why in model.away.items()]
    if model.results_skipped:
        away.append(Text(f"{model.results_skipped:,} results came too fast to be looked at one by one", style="yellow"))
    return Group(Text(" · ").join(parts), *away)


def _title(text: str) -> Rule:
    return Rule(Text(text, style="bold"), align="left", style=_DIM)


def _rate(rate: float | None, unit: str = " /s") -> Text:
    if rate is None:
        return Text("?", style=_DIM)
    return Text(f"{rate:,.0f}{unit}" if rate >= 10 or rate == 0 else f"{rate:.1f}{unit}", style="bold" if unit else "")


def _percent(part: int, whole: int) -> str:
    """Two digits, and never 100 % unless it is all of them."""
    if whole == 0:
        return "-"
    hundredths = part * 10_000 // whole
    return f"{hundredths // 100}.{hundredths % 100:02} %"


def bar(number: int, full: int, width: int) -> str:
    """A bar of `width` cells for the share of `full`, to an eighth of a cell; at least a sliver for what is not zero."""
    if width <= 0 or full <= 0 or number <= 0:
        return ""
    eighths = max(1, min(width * 8, number * width * 8 // full))
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def sparkline(values: Sequence[float], width: int) -> str:
    """The newest values as block characters, the highest one full."""
    shown = values[-width:] if width > 0 else []
    top = max(shown, default=0.0)
    if top <= 0:
        return ""
    return "".join(_BLOCKS[max(1, round(value / top * 8)) if value > 0 else 0] for value in shown)


def duration(seconds: float) -> str:
    """For people: 0.4 s, 12 s, 3 min, 5 h, 2 d."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds // 86_400)} d"
