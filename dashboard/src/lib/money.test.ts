import { describe, expect, it } from "vitest";
import { count, grouped, groupedIn, majorOf, share, shareOf, short, signed, written } from "./money.ts";

const NARROW = "\u202f";

describe("amounts", () => {
  it("keep every digit, also beyond what a number holds", () => {
    expect(grouped("9007199254740993.01")).toBe(["9", "007", "199", "254", "740", "993"].join(NARROW) + ".01");
  });

  it("are grouped by three, with a true minus", () => {
    expect(grouped("-1234567.890")).toBe(`\u22121${NARROW}234${NARROW}567.890`);
    expect(grouped("999")).toBe("999");
  });

  it("are shown as they came where they are no decimals", () => {
    expect(grouped("1e5")).toBe("1e5");
  });

  it("say that they are in minor units where the currency is not known", () => {
    expect(written({ minor: "1234", major: null, currency: "???" })).toBe(`1${NARROW}234 minor units ???`);
  });

  it("are grouped in sentences too, and nothing else is", () => {
    expect(groupedIn("INV-2026 of 12345: Core says 1284500.00 EUR; Mobile says -1200 JPY.")).toBe(
      `INV-2026 of 12345: Core says 1${NARROW}284${NARROW}500.00 EUR; Mobile says -1${NARROW}200 JPY.`,
    );
  });

  it("have a plus as differences, but for nothing", () => {
    expect(signed({ minor: "150", major: "1.50", currency: "EUR" })).toBe("+1.50");
    expect(signed({ minor: "-150", major: "-1.50", currency: "EUR" })).toBe("\u22121.50");
    expect(signed({ minor: "0", major: "0.00", currency: "EUR" })).toBe("0.00");
  });
});

it("minor units become major ones as their currency has it", () => {
  const of = (major: string | null) => ({ minor: "1", major, currency: "X" });
  expect(majorOf("191757", of("1.90"))).toBe(`1${NARROW}917.57`);
  expect(majorOf("-5", of("0.001"))).toBe("\u22120.005");
  expect(majorOf("1200", of("7"))).toBe(`1${NARROW}200`);
  expect(majorOf("1200", of(null))).toBe(`1${NARROW}200`);
});

describe("shares", () => {
  it("are 100 % only where it is all", () => {
    expect(share(999_999, 1_000_000)).toBe(`99.99${NARROW}%`);
    expect(share(5, 5)).toBe(`100.00${NARROW}%`);
    expect(share(0, 0)).toBe("–");
  });

  it("are counted in integers", () => {
    expect(shareOf(9_007_199_254_740_992n, 9_007_199_254_740_993n)).toBe(`99.99${NARROW}%`);
  });
});

it("counts are grouped, and short where there is no room", () => {
  expect(count(1_234_567)).toBe(`1${NARROW}234${NARROW}567`);
  expect(short(1_234_567)).toBe(`1.2${NARROW}M`);
  expect(short(9_999)).toBe(`9${NARROW}999`);
});
