/** Counts over time as stacked columns: drawn by uPlot, walked through by mouse or arrow keys, and told as a table too. */

import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { count } from "@/lib/money.ts";
import { usePreferences, useShownTheme } from "@/lib/preferences.ts";
import { ranked, stacked, total, type Series, type Steps } from "@/lib/series.ts";
import { clock, day, zoneName, type Zone } from "@/lib/time.ts";
import { Scrollable } from "./scrollable.tsx";
import { classes } from "./ui.tsx";

const HEIGHT = 220;
const DAY_SECONDS = 86_400;
/** Counts are whole: 1, 2, 5, 10, 20, … */
const INCREMENTS = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();
const PAGE_STEPS = 10;

interface ChartProps {
  /** What is counted. */
  name: string;
  /** The same in a sentence, for who does not see it. */
  summary: string;
  steps: Steps;
  /** From the bottom to the top. */
  series: readonly Series[];
  hidden: readonly string[];
  onHide: (hidden: string[]) => void;
}

export function StackedChart({ name, summary, steps, series, hidden, onHide }: ChartProps) {
  const { zone } = usePreferences();
  const [index, setIndex] = useState<number>();
  const shown = useMemo(() => series.filter(({ key }) => !hidden.includes(key)), [series, hidden]);
  const at = index !== undefined && index < steps.starts.length ? index : undefined;
  const place = at === undefined ? "Whole period" : stepName(steps, at, zone);
  const value = ({ values }: Series) => (at === undefined ? total(values) : (values[at] ?? 0));
  const told = at === undefined ? summary : `${place}: ${shown.map((each) => `${each.label} ${value(each)}`).join(", ")}`;
  return (
    <figure className="flex min-w-0 flex-col gap-3">
      <Plot name={name} told={told} steps={steps} series={shown} index={at} onIndex={setIndex} />
      <figcaption className="flex flex-wrap items-center gap-x-1 gap-y-0.5 text-xs">
        <span className="figures w-full pl-1.5 text-ink-2">{place}</span>
        {ranked(series).map((each) => {
          const isHidden = hidden.includes(each.key);
          return (
            <button
              key={each.key}
              type="button"
              aria-pressed={!isHidden}
              title={isHidden ? `Show ${each.label}` : `Hide ${each.label}`}
              onClick={() => onHide(isHidden ? hidden.filter((key) => key !== each.key) : [...hidden, each.key])}
              className={classes("flex h-7 items-center gap-1.5 rounded px-1.5 hover:bg-hover", isHidden ? "text-ink-3 line-through" : "text-ink-2")}
            >
              <Swatch color={each.color} isHollow={isHidden} />
              {each.label}
              <span className="figures font-medium text-ink">{count(value(each))}</span>
            </button>
          );
        })}
      </figcaption>
    </figure>
  );
}

export function Swatch({ color, isHollow }: { color: string; isHollow?: boolean }) {
  return (
    <span
      aria-hidden
      className="size-2.5 shrink-0 rounded-xs border"
      style={{ borderColor: `var(${color})`, background: isHollow ? undefined : `var(${color})` }}
    />
  );
}

/** "10:40 – 10:50 UTC"; the day too where the steps are of several. */
function stepName({ starts, width }: Steps, index: number, zone: Zone): string {
  const start = starts[index] ?? 0;
  const [from, to] = [start, start + width].map((seconds) => new Date(seconds * 1000).toISOString()) as [string, string];
  const isLong = (starts.at(-1) ?? 0) - (starts[0] ?? 0) > DAY_SECONDS;
  const words = `${clock(from, zone).slice(0, 5)}\u2009–\u2009${clock(to, zone).slice(0, 5)} ${zoneName(new Date(from), zone)}`;
  return `${isLong ? `${day(from, zone)} ` : ""}${words}${index === starts.length - 1 ? ", so far" : ""}`;
}

interface PlotProps {
  name: string;
  told: string;
  steps: Steps;
  series: readonly Series[];
  index: number | undefined;
  onIndex: (index: number | undefined) => void;
}

/** The drawing. For assistive technology it is a slider through the steps, whose value is told in words. */
function Plot({ name, told, steps, series, index, onIndex }: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const theme = useShownTheme();
  const { zone } = usePreferences();
  const last = steps.starts.length - 1;
  const colors = series.map(({ color }) => color).join(" ");
  const { width } = steps;

  useEffect(() => {
    const target = place.current;
    if (!target) return undefined;
    const made = new uPlot(options(target, colors ? colors.split(" ") : [], width, zone, onIndex), [[]], target);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: target.clientWidth, height: HEIGHT }));
    observer.observe(target);
    return () => {
      observer.disconnect();
      made.destroy();
    };
    // colours are those of the theme at the time of drawing
  }, [colors, width, zone, theme, onIndex]);

  useEffect(() => {
    // columns stand in the middle of their step; the highest sum is drawn first, and the lower ones over it
    plot.current?.setData([steps.starts.map((start) => start + width / 2), ...stacked(series).toReversed()]);
  }, [steps, series, colors, width, zone, theme]);

  const go = (to: number | undefined) => {
    const made = plot.current;
    if (!made) return;
    const left = to === undefined ? -1 : made.valToPos((steps.starts[to] ?? 0) + width / 2, "x");
    made.setCursor({ left, top: to === undefined ? -1 : 0 });
    onIndex(to);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const from = index ?? last + 1;
    const to = { ArrowLeft: from - 1, ArrowDown: from - 1, ArrowRight: from + 1, ArrowUp: from + 1, PageDown: from - PAGE_STEPS, PageUp: from + PAGE_STEPS, Home: 0, End: last }[event.key]; // prettier-ignore
    if (event.key === "Escape" && index !== undefined) go(undefined);
    else if (to !== undefined) go(Math.min(last, Math.max(0, to)));
    else return;
    event.preventDefault();
  };
  return (
    <div
      ref={place}
      role="slider"
      tabIndex={0}
      aria-label={`${name}: chart, arrow keys go through the steps`}
      aria-valuemin={0}
      aria-valuemax={last}
      aria-valuenow={index ?? last}
      aria-valuetext={told}
      onKeyDown={onKeyDown}
      onBlur={() => go(undefined)}
      className="min-w-0 overflow-hidden"
      style={{ height: HEIGHT }}
    />
  );
}

function options(target: HTMLElement, colors: string[], width: number, zone: Zone, onIndex: PlotProps["onIndex"]): uPlot.Options {
  const style = getComputedStyle(target);
  const color = (name: string) => style.getPropertyValue(name);
  const axis: uPlot.Axis = {
    stroke: color("--ink-3"),
    font: `11px ${style.fontFamily}`,
    grid: { stroke: color("--line"), width: 1 },
    ticks: { stroke: color("--line"), width: 1, size: 4 },
  };
  const bars = uPlot.paths.bars?.({ size: [0.86, 48] });
  return {
    width: target.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    padding: [10, 18, 0, 0],
    tzDate: (seconds) => (zone === "utc" ? uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC") : new Date(seconds * 1000)),
    cursor: {
      y: false,
      points: { show: false },
      drag: { x: false, y: false, setScale: false },
      // it stands still in the middle of a column
      move: (self, left, top) => [left < 0 ? left : self.valToPos(self.data[0][self.posToIdx(left)] ?? 0, "x"), top],
    },
    hooks: { setCursor: [(self) => onIndex(self.cursor.idx ?? undefined)] },
    scales: {
      x: { range: (_, min, max) => [min - width / 2, max + width / 2] },
      y: { range: (_, _min, max) => uPlot.rangeNum(0, max || 1, 0.1, true) },
    },
    axes: [
      { ...axis, size: 30, grid: { show: false }, values: (_, splits, _axis, _space, increment) => splits.map((at) => tick(at, increment, zone)) },
      { ...axis, incrs: INCREMENTS, size: 52, values: (_, splits) => splits.map(count), ticks: { show: false } },
    ],
    series: [{}, ...colors.toReversed().map((name) => ({ fill: color(name), width: 0, points: { show: false }, ...(bars && { paths: bars }) }))],
  };
}

/** The time of day; the date where a day begins or nothing finer is shown. */
function tick(seconds: number, increment: number, zone: Zone): string {
  const at = new Date(seconds * 1000).toISOString();
  const time = clock(at, zone).slice(0, 5);
  return increment >= DAY_SECONDS || time === "00:00" ? day(at, zone).slice(5) : time;
}

/** What the chart shows, as numbers: the newest step first. */
export function SeriesTable({ name, steps, series }: { name: string; steps: Steps; series: readonly Series[] }) {
  const { zone } = usePreferences();
  const columns = ranked(series);
  const cell = "px-2 py-1.5 text-right";
  return (
    <Scrollable label={`${name}: table`} className="max-h-80">
      <table className="figures w-full text-xs whitespace-nowrap">
        <thead className="sticky top-0 bg-surface text-ink-2">
          <tr>
            <th scope="col" className="px-2 py-1.5 text-left font-medium">
              Step
            </th>
            {columns.map(({ key, label }) => (
              <th key={key} scope="col" className={classes(cell, "font-medium")}>
                {label}
              </th>
            ))}
            <th scope="col" className={classes(cell, "font-medium")}>
              All
            </th>
          </tr>
        </thead>
        <tbody>
          {steps.starts
            .map((start, at) => (
              <tr key={start} className="border-t border-line">
                <th scope="row" className="px-2 py-1.5 text-left font-normal text-ink-2">
                  {stepName(steps, at, zone)}
                </th>
                {columns.map(({ key, values }) => (
                  <td key={key} className={classes(cell, !values[at] && "text-ink-3")}>
                    {count(values[at] ?? 0)}
                  </td>
                ))}
                <td className={classes(cell, "font-medium")}>{count(total(series.map(({ values }) => values[at] ?? 0)))}</td>
              </tr>
            ))
            .toReversed()}
        </tbody>
      </table>
    </Scrollable>
  );
}
