"""The figure of docs/performance.md: horizontal bars, written as SVG by hand."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

WIDTH, BAR, GAP, LEFT, RIGHT, TOP = 760, 24, 12, 210, 90, 48
COLOURS = {"recon-stream": "#1f6f5c", "recon-stream, plain": "#7fb0a3"}
RIVAL = "#9a9a9a"


def draw(cpu_us: Mapping[tuple[str, int], float], limit_us: float, title: str = "CPU microseconds an event") -> str:
    """One bar for each (engine, events), as long as its CPU microseconds an event, and a line at the limit."""
    scale = (WIDTH - LEFT - RIGHT) / max(*cpu_us.values(), limit_us)
    height = TOP + len(cpu_us) * (BAR + GAP) + GAP
    bars = []
    for place, ((engine, events), value) in enumerate(cpu_us.items()):
        y = TOP + place * (BAR + GAP)
        length = value * scale
        middle = y + BAR * 0.7
        bars += [
            f'<text x="{LEFT - 10}" y="{middle:.0f}" text-anchor="end">{escape(engine)}, {events:,} events</text>',
            f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3" fill="{COLOURS.get(engine, RIVAL)}"/>',
            f'<text x="{LEFT + length + 8:.1f}" y="{middle:.0f}">{value:.1f}</text>',
        ]
    limit = LEFT + limit_us * scale
    head = (
        'xmlns="http://www.w3.org/2000/svg" role="img" font-family="system-ui, sans-serif" font-size="13" fill="#222"'
    )
    return "\n".join(
        [
            f'<svg {head} viewBox="0 0 {WIDTH} {height}">',
            f"<title>{title}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            f'<text x="16" y="24" font-size="15" font-weight="600">{title}, less is better</text>',
            *bars,
            f'<line x1="{limit:.1f}" y1="{TOP - 6}" x2="{limit:.1f}" y2="{height - 6}" stroke="#b3261e" stroke-dasharray="4 3"/>',
            f'<text x="{limit + 4:.1f}" y="{TOP - 8}" fill="#b3261e" font-size="11">bar {limit_us:.0f}</text>',
            "</svg>\n",
        ]
    )
