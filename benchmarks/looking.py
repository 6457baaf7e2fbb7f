"""A person in front of a page of the dashboard, in a real browser, and what the browser tells of it.

Long tasks, frames and key presses are the browser's own entries (PerformanceObserver). Its trace adds for how much of a task the
thread had a processor at all: beside services that share the cores, the clock goes on while it waits for one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from playwright.sync_api import Browser, Page

from recon_stream.security.realm import DemoUser

MILLISECONDS = 60_000
WARM_SECONDS, SEGMENT_SECONDS = 25.0, 30.0
SCROLL_SECONDS, WHEEL_PIXELS, STEP_MS = 3.0, 90, 16
KEYS, KEY_MS, REST_MS = 8, 150, 3_000
LONG_MS = 50
"""A task that takes longer is a long one, by the browser's definition."""
LEAST_KEY_MS = 16
"""Key presses that are answered sooner are not told by the browser."""

_WATCH = """
const seen = {tasks: [], frames: [], keys: []};
const watch = (type, more, take) => new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({type, ...more});
watch("longtask", {}, ({duration}) => seen.tasks.push(duration));
watch("event", {durationThreshold: LEAST_KEY_MS}, ({name, startTime, processingEnd, duration}) => {
  if (name === "keydown") seen.keys.push([processingEnd - startTime, duration]);
});
let last, isScrolling = false;
function frame(at) {
  if (last !== undefined) seen.frames.push(at - last);
  last = at;
  if (isScrolling) requestAnimationFrame(frame);
}
window.__scrolls = (is) => {
  last = undefined;
  isScrolling = is;
  if (is) requestAnimationFrame(frame);
};
window.__taken = () => {
  const taken = structuredClone(seen);
  seen.tasks = [], seen.frames = [], seen.keys = [];
  return taken;
};
""".replace("LEAST_KEY_MS", str(LEAST_KEY_MS))
_SCRIPTS = """() => performance.getEntriesByType("resource").filter(({name}) => name.endsWith(".js"))
    .reduce((sum, {encodedBodySize}) => sum + encodedBodySize, 0)"""
_CATEGORIES = ["devtools.timeline", "disabled-by-default-devtools.timeline", "disabled-by-default-v8.gc", "__metadata"]
_TASK = "RunTask"
_SCRIPT = {"FunctionCall", "EvaluateScript", "RunMicrotasks", "MajorGC", "MinorGC"}
_SHOWING = {"UpdateLayoutTree", "Layout", "PrePaint", "Paint", "Layerize", "Commit"}


@dataclass(frozen=True, slots=True)
class View:
    """A page: where it is, what stands there once it is read, what is scrolled, which keys are pressed in turn."""

    name: str
    path: str
    ready: str
    scrolled: str
    keys: tuple[str, ...]


VIEWS = (
    View("exceptions", "/exceptions", "[role=grid] [id=row-3]", "[role=grid]", ("j", "j", "k", "j")),
    View("overview", "/", "main canvas", "main", ("?", "Escape")),
    View("live", "/live", "main tbody tr td", "main table", ("p", "p")),
)


@dataclass(frozen=True, slots=True)
class Task:
    """Of the page's main thread, in milliseconds by the clock, by the processor, and of the latter in our script and its memory."""

    wall: float
    cpu: float
    script: float


@dataclass(slots=True)
class Seen:
    """What one page was like. Milliseconds; `heap`: bytes that JavaScript holds after the warm-up and each segment, garbage collected.

    `seconds` are those of the segments, `total_seconds` all from the first look.

    `handled`: from a key press until our code has done its part; `keys`: until what came of it is on the screen.
    `tasks`: those of the trace that were long by the clock; `told`: long ones as the page itself was told of them.
    `script` and `showing`: of the processor, in script, and in style, layout and paint of the main thread.
    """

    view: str
    seconds: float = 0.0
    total_seconds: float = 0.0
    told: list[float] = field(default_factory=list)
    frames: list[float] = field(default_factory=list)
    handled: list[float] = field(default_factory=list)
    keys: list[float] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    heap: list[int] = field(default_factory=list)
    script: float = 0.0
    showing: float = 0.0


@contextmanager
def seat(browser: Browser, base: str, who: DemoUser) -> Iterator[Page]:
    """A window in which somebody has logged in by Keycloak's form and sees the overview."""
    context = browser.new_context(locale="en-GB", viewport={"width": 1440, "height": 900})
    try:
        page = context.new_page()
        page.set_default_timeout(MILLISECONDS)
        # by the debugger, which the page's policy does not bind
        page.add_init_script(_WATCH)
        page.goto(f"{base}/dashboard/")
        page.fill("#username", who.username)
        page.fill("#password", who.password)
        page.click("#kc-login")
        page.wait_for_selector("main canvas")
        yield page
    finally:
        context.close()


def script_bytes(page: Page) -> int:
    """Of all scripts that the page has loaded so far, as they came over the network."""
    return int(page.evaluate(_SCRIPTS))


def look(browser: Browser, page: Page, base: str, view: View, seconds: float) -> Seen:
    """Scroll, press keys and rest, again and again, for about so long after a warm-up."""
    seen, entered = Seen(view.name), time.monotonic()
    page.goto(f"{base}/dashboard{view.path}")
    page.wait_for_selector(view.ready)
    debugger = page.context.new_cdp_session(page)
    warm = time.monotonic() + WARM_SECONDS
    while time.monotonic() < warm:
        _stir(page, view)
    seen.heap.append(_heap(debugger))
    pressed = 0
    while seen.seconds < seconds:
        page.evaluate("window.__taken()")
        browser.start_tracing(page=page, categories=_CATEGORIES)
        begun = time.monotonic()
        while time.monotonic() - begun < SEGMENT_SECONDS:
            pressed += _stir(page, view)
        seen.seconds += time.monotonic() - begun
        taken = page.evaluate("window.__taken()")
        _read_trace(seen, browser.stop_tracing())
        seen.told += taken["tasks"]
        seen.frames += taken["frames"]
        for handled, shown in taken["keys"]:
            seen.handled.append(handled)
            seen.keys.append(shown)
        seen.heap.append(_heap(debugger))
    for times in (seen.handled, seen.keys):
        times += [float(LEAST_KEY_MS)] * (pressed - len(times))
    debugger.detach()
    seen.total_seconds = time.monotonic() - entered
    return seen


def _stir(page: Page, view: View) -> int:
    """What a person does: down and up again, some keys, a look at what comes; how many keys."""
    box = page.locator(view.scrolled).first.bounding_box()
    assert box is not None, "it was waited for"
    page.mouse.move(box["x"] + box["width"] / 2, max(box["y"], 0) + 200)
    for pixels in (WHEEL_PIXELS, -WHEEL_PIXELS):
        page.evaluate("window.__scrolls(true)")
        until = time.monotonic() + SCROLL_SECONDS
        while time.monotonic() < until:
            page.mouse.wheel(0, pixels)
            page.wait_for_timeout(STEP_MS)
        page.evaluate("window.__scrolls(false)")
    for number in range(KEYS):
        page.keyboard.press(view.keys[number % len(view.keys)])
        page.wait_for_timeout(KEY_MS)
    page.wait_for_timeout(REST_MS)
    return KEYS


def _heap(debugger: Any) -> int:
    debugger.send("HeapProfiler.collectGarbage")
    return int(debugger.send("Runtime.getHeapUsage")["usedSize"])


def _read_trace(seen: Seen, trace: bytes) -> None:
    """Add what the trace of a segment says of the page's main thread."""
    events = orjson.loads(trace)["traceEvents"]
    mains = {each["pid"]: each["tid"] for each in events if each.get("args", {}).get("name") == "CrRendererMain"}
    spans = [each for each in events if each["ph"] == "X" and mains.get(each["pid"]) == each["tid"]]
    spans.sort(key=lambda each: (each["ts"], -each["dur"]))
    script = showing = 0.0
    counted_to = 0
    task: list[float] = []
    tasks: list[list[float]] = []
    for span in spans:
        cpu = span.get("tdur", 0) / 1000
        if span["name"] == _TASK:
            task = [span["dur"] / 1000, cpu, 0.0]
            tasks.append(task)
        elif span["name"] in _SCRIPT | _SHOWING and span["ts"] >= counted_to:
            # what is within it is its own doing
            counted_to = span["ts"] + span["dur"]
            if span["name"] in _SHOWING:
                showing += cpu
            else:
                script += cpu
                if task:
                    task[2] += cpu
    seen.tasks += [Task(*each) for each in tasks if each[0] > LONG_MS]
    seen.script += script
    seen.showing += showing
