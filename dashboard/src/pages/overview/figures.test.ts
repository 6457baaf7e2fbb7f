import { describe, expect, it } from "vitest";
import type { Schema } from "@/api/client.ts";
import { concerns, major, matchedCount, matchedValue, summed } from "./figures.ts";

const eur = (minor: string, units: string | null = major(BigInt(minor), 2)) => ({ currency: "EUR", minor, major: units });
const VERDICTS: Schema["VerdictSum"][] = [
  { verdict: "MATCHED", transactions: 90, amounts: [eur("9007199254740993"), { currency: "JPY", minor: "500", major: "500" }] },
  { verdict: "MATCHED_WITHIN_TOLERANCE", transactions: 5, amounts: [eur("1")] },
  { verdict: "BROKEN", transactions: 3, amounts: [eur("10")] },
  { verdict: "ACCEPTED", transactions: 2, amounts: [eur("20")] },
  { verdict: "PENDING", transactions: 40, amounts: [eur("777")] },
  { verdict: "VOID", transactions: 4, amounts: [eur("888")] },
];

const topic = (name: string, storedAt: string | null, more: Partial<Schema["TopicView"]> = {}): Schema["TopicView"] => ({
  topic: name, is_source: name.endsWith("_txns"), offset: "10", per_second: 5, lag: 0, stored_at: storedAt, partitions: [], ...more,
}); // prettier-ignore
const MOVING = topic("core_txns", "2026-11-26T10:10:00.000Z");
const STATUS: Schema["Status"] = { holds: true, checked_at: "2026-11-26T10:10:00.000Z", checks: [], topics: [MOVING], latency_ms: null };

describe("the match rate", () => {
  it("is of what was decided: what waits and what was withdrawn say nothing", () => {
    expect(matchedCount(VERDICTS)).toEqual({ matched: 95, decided: 100 });
  });

  it("by value keeps to its currency, and to the last unit", () => {
    const rates = matchedValue(VERDICTS);
    expect(rates.get("EUR")).toEqual({ matched: 9_007_199_254_740_994n, decided: 9_007_199_254_741_024n });
    expect(rates.get("JPY")).toEqual({ matched: 500n, decided: 500n });
  });
});

describe("sums of money", () => {
  it("are added within a currency, and the largest in major units stands first", () => {
    const yen = { currency: "JPY", minor: "5000", major: "5000" };
    expect(summed([[eur("100050")], [yen, eur("50")], []])).toEqual([yen, eur("100100", "1001.00")]);
  });

  it("stay in minor units where the currency is not known, and stand last", () => {
    expect(summed([[{ currency: "XXX", minor: "99999", major: null }, eur("5")]]).map(({ currency }) => currency)).toEqual(["EUR", "XXX"]);
  });

  it("are written with the decimals of their currency", () => {
    expect([major(5n, 2), major(-5n, 2), major(-134_702n, 2), major(12n, 0), major(1n, 3)]).toEqual(["0.05", "-0.05", "-1347.02", "12", "0.001"]);
  });
});

describe("concerns", () => {
  it("are none where everything holds and moves", () => {
    expect(concerns(STATUS, undefined)).toEqual([]);
    expect(concerns(undefined, undefined)).toEqual([]);
  });

  it("begin with what is gravest", () => {
    const check = { name: "x", title: "All is stored", holds: false, examined: 5, violations: 1, examples: [], checked_at: "", held_at: null };
    const topics = [MOVING, topic("mobile_txns", "2026-11-26T10:00:00.000Z"), topic("gateway_txns", null, { per_second: null }), topic("recon_results", "2026-11-26T10:10:00.000Z", { lag: 500 }), topic("recon_dead_letters", "2026-11-26T10:10:00.000Z", { lag: 5, per_second: 0 })];
    const breaks = { severities: [{ severity: "CRITICAL", breaks: 2, amounts: [] }] } as unknown as Schema["OpenBreaks"];
    const found = concerns({ ...STATUS, holds: null, checks: [check], topics }, breaks);
    expect(found.map(({ kind }) => kind)).toEqual(["violated", "critical", "standing", "stalled", "never", "behind", "unchecked"]);
  });
});
