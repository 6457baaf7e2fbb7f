import { describe, expect, it } from "vitest";
import type { Schema } from "@/api/client.ts";
import { peak, ranked, stacked, stepsOf, total, valuesOf, type Series } from "./series.ts";

const AT = (clock: string) => `2026-11-26T${clock}Z`;
const SERIES: Series[] = [
  { key: "BROKEN", label: "Broken", color: "--bad", values: [1, 0, 2] },
  { key: "MATCHED", label: "Matched", color: "--good", values: [10, 20, 5] },
];

describe("steps", () => {
  it("begin at multiples of their width, also before the period, and end with the one that is going on", () => {
    const steps = stepsOf(AT("10:07:00"), 600, Date.parse(AT("10:31:00")));
    expect(steps.starts.map((start) => new Date(start * 1000).toISOString().slice(11, 16))).toEqual(["10:00", "10:10", "10:20", "10:30"]);
  });

  it("are one where the period has just begun", () => {
    expect(stepsOf(AT("10:00:00"), 60, Date.parse(AT("09:59:59"))).starts).toHaveLength(1);
  });

  it("that the server left out count nothing", () => {
    const steps = stepsOf(AT("10:00:00"), 60, Date.parse(AT("10:04:30")));
    const points: Schema["Point"][] = [
      { at: AT("10:01:00"), counts: { MATCHED: 7 } },
      { at: AT("10:04:00"), counts: { MATCHED: 2, BROKEN: 1 } },
      { at: AT("10:09:00"), counts: { MATCHED: 99 } }, // came after this page last looked at the clock
    ];
    expect(valuesOf(points, steps, "MATCHED")).toEqual([0, 7, 0, 0, 2]);
    expect(valuesOf(points, steps, "BROKEN")).toEqual([0, 0, 0, 0, 1]);
    expect(valuesOf([], steps, "BROKEN")).toEqual([0, 0, 0, 0, 0]);
  });
});

describe("stacks", () => {
  it("carry each kind on those before it", () => {
    expect(stacked(SERIES)).toEqual([
      [1, 0, 2],
      [11, 20, 7],
    ]);
    expect(total(SERIES[1]?.values ?? [])).toBe(35);
  });

  it("are named in the order of their size", () => {
    expect(ranked(SERIES).map(({ key }) => key)).toEqual(["MATCHED", "BROKEN"]);
  });

  it("have their peak where all kinds together are most", () => {
    expect(peak(SERIES, { starts: [0, 60, 120], width: 60 })).toEqual({ start: 60, value: 20 });
    expect(peak([], { starts: [0], width: 60 })).toBeUndefined();
    expect(peak([{ key: "a", label: "a", color: "--bad", values: [0] }], { starts: [0], width: 60 })).toBeUndefined();
  });
});
