/** What a chart draws: counts in steps of equal width, of several kinds. The API leaves out steps in which nothing was counted. */

import type { Schema } from "@/api/client.ts";

/** A kind of thing that is counted, with a count for each step. */
export interface Series {
  key: string;
  label: string;
  /** A name of main.css: "--bad". */
  color: string;
  values: readonly number[];
}

/** Where steps begin, in seconds of the epoch, and how wide they are. */
export interface Steps {
  starts: readonly number[];
  width: number;
}

/** All steps that touch the period; like those of the server, they begin at multiples of their width. */
export function stepsOf(since: string, width: number, until: number): Steps {
  const first = Math.floor(Date.parse(since) / 1000 / width);
  const last = Math.max(first, Math.floor(until / 1000 / width));
  return { starts: Array.from({ length: last - first + 1 }, (_, at) => (first + at) * width), width };
}

/** The counts of one kind: zero at steps that the server left out. */
export function valuesOf(points: readonly Schema["Point"][], { starts, width }: Steps, key: string): number[] {
  const values = new Array<number>(starts.length).fill(0);
  for (const point of points) {
    const at = Math.floor((Date.parse(point.at) / 1000 - (starts[0] ?? 0)) / width);
    if (at in values) values[at] = point.counts[key] ?? 0;
  }
  return values;
}

/** Each kind on top of those before it. */
export function stacked(series: readonly Series[]): number[][] {
  const sums: number[][] = [];
  for (const { values } of series) {
    const below = sums.at(-1);
    sums.push(values.map((value, at) => value + (below?.[at] ?? 0)));
  }
  return sums;
}

export function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** The most frequent kind first. */
export function ranked(series: readonly Series[]): Series[] {
  return series.toSorted((a, b) => total(b.values) - total(a.values));
}

/** The step with most of all kinds together, and how many; undefined where there is none at all. */
export function peak(series: readonly Series[], { starts }: Steps): { start: number; value: number } | undefined {
  const top = stacked(series).at(-1) ?? [];
  const value = Math.max(0, ...top);
  const start = starts[top.indexOf(value)];
  return value > 0 && start !== undefined ? { start, value } : undefined;
}
