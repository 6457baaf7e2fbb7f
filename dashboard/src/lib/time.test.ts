import { expect, it } from "vitest";
import { ago, clock, day, daysBetween, duration, instant } from "./time.ts";

const AT = "2026-03-01T23:59:58.120Z";

it("instants are in UTC and say so", () => {
  expect(instant(AT, "utc")).toBe("2026-03-01 23:59:58 UTC");
  expect(instant(AT, "utc", true)).toBe("2026-03-01 23:59:58.120 UTC");
  expect(day(AT, "utc")).toBe("2026-03-01");
  expect(clock(AT, "utc", true)).toBe("23:59:58.120");
});

it("local instants carry their offset", () => {
  expect(instant(AT, "local")).toMatch(/^2026-03-0[12] \d\d:59:58 [+\u2212]\d\d:\d\d$|^2026-03-0[12] \d\d:(29|14|44):58 [+\u2212]\d\d:\d\d$/);
});

it.each([
  [0.4, "0 s"],
  [59, "59 s"],
  [60, "1 min"],
  [3_900, "1 h 5 min"],
  [90_000, "1 d 1 h"],
])("%d seconds are %s", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

it("what is to come is not in the past", () => {
  expect(ago(AT, Date.parse(AT) + 12_000)).toBe("12 s ago");
  expect(ago(AT, Date.parse(AT) - 120_000)).toBe("in 2 min");
});

it.each([
  ["2026-03-02T00:00:03Z", 1],
  ["2026-03-01T00:00:00Z", 0],
  ["2026-02-28T23:59:58Z", -1],
  ["2027-03-01T23:59:58Z", 365],
  ["no time", 0],
])("to %s it is %d calendar days", (to, days) => {
  expect(daysBetween(Date.parse(AT), Date.parse(to), "utc")).toBe(days);
});
