/** The figures of the overview, from what the API counts. Pure; sums of money stay in minor units, as BigInt. */

import type { Schema } from "@/api/client.ts";
import { verdict } from "@/lib/words.ts";
import { progressOf, silentSince } from "../system/progress.ts";

type Money = Schema["Money"];

const MATCHED = new Set(["MATCHED", "MATCHED_WITHIN_TOLERANCE"]);
/** Not decided yet, or withdrawn: neither says whether the sources agree. */
const UNDECIDED = new Set(["PENDING", "VOID"]);

interface Part<Number> {
  matched: Number;
  decided: Number;
}

/** How many transactions were decided, and how many of them matched. */
export function matchedCount(verdicts: readonly Schema["VerdictSum"][]): Part<number> {
  const rate = { matched: 0, decided: 0 };
  for (const each of verdicts) {
    if (!UNDECIDED.has(each.verdict)) rate.decided += each.transactions;
    if (MATCHED.has(each.verdict)) rate.matched += each.transactions;
  }
  return rate;
}

/** The same by value, within each currency. */
export function matchedValue(verdicts: readonly Schema["VerdictSum"][]): Map<string, Part<bigint>> {
  const rates = new Map<string, Part<bigint>>();
  for (const each of verdicts) {
    for (const { currency, minor } of each.amounts) {
      const rate = rates.get(currency) ?? { matched: 0n, decided: 0n };
      if (!UNDECIDED.has(each.verdict)) rate.decided += BigInt(minor);
      if (MATCHED.has(each.verdict)) rate.matched += BigInt(minor);
      rates.set(currency, rate);
    }
  }
  return rates;
}

/** Sums of several lists of amounts, one for each currency; the largest number of major units first, which compares nothing. */
export function summed(lists: Iterable<readonly Money[]>): Money[] {
  const sums = new Map<string, { minor: bigint; decimals: number | null }>();
  for (const amounts of lists) {
    for (const { currency, minor, major } of amounts) {
      const decimals = major === null ? null : (major.split(".")[1]?.length ?? 0);
      sums.set(currency, { minor: (sums.get(currency)?.minor ?? 0n) + BigInt(minor), decimals });
    }
  }
  return [...sums]
    .sort(([a, x], [b, y]) => compare(scaled(y), scaled(x)) || a.localeCompare(b))
    .map(([currency, { minor, decimals }]) => ({ currency, minor: String(minor), major: decimals === null ? null : major(minor, decimals) }));
}

/** More decimals than any currency has. */
const DECIMALS_MAX = 8;

function scaled({ minor, decimals }: { minor: bigint; decimals: number | null }): bigint {
  return minor * 10n ** BigInt(DECIMALS_MAX - (decimals ?? DECIMALS_MAX));
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** 134702 with two decimals -> "1347.02". */
export function major(minor: bigint, decimals: number): string {
  const digits = String(minor < 0n ? -minor : minor).padStart(decimals + 1, "0");
  const at = digits.length - decimals;
  return `${minor < 0n ? "-" : ""}${digits.slice(0, at)}${decimals ? `.${digits.slice(at)}` : ""}`;
}

/** What a person should look at, the gravest first. */
export type Concern =
  | { kind: "violated"; checks: string[] }
  | { kind: "critical"; breaks: number }
  | { kind: "standing"; topic: string; partitions: number[]; lag: number }
  | { kind: "stalled"; topic: string; storedAt: string | null }
  | { kind: "never"; topics: string[] }
  | { kind: "behind"; topic: string; seconds: number }
  | { kind: "silent"; storedAt: string }
  | { kind: "unreachable" }
  | { kind: "unchecked"; checkedAt: string | null };

export function concerns(status: Schema["Status"] | undefined, breaks: Schema["OpenBreaks"] | undefined): Concern[] {
  const found: Concern[] = [];
  const violated = status?.checks.filter((check) => !check.holds) ?? [];
  const critical = breaks?.severities.find(({ severity }) => severity === "CRITICAL")?.breaks ?? 0;
  if (violated.length) found.push({ kind: "violated", checks: violated.map(({ title }) => title) });
  if (critical) found.push({ kind: "critical", breaks: critical });
  if (status) {
    const topics = status.topics.map((each) => ({ each, topic: each.topic, progress: progressOf(each, status.topics) }));
    for (const { each, topic, progress } of topics) if (progress.kind === "standing") found.push({ ...progress, topic, lag: each.lag ?? 0 });
    for (const { each, topic, progress } of topics) if (progress.kind === "stalled") found.push({ ...progress, topic, storedAt: each.stored_at });
    const never = topics.filter(({ progress }) => progress.kind === "never").map(({ topic }) => topic);
    if (never.length) found.push({ kind: "never", topics: never });
    for (const { topic, progress } of topics) if (progress.kind === "behind") found.push({ ...progress, topic });
    const storedAt = silentSince(status);
    if (storedAt) found.push({ kind: "silent", storedAt });
    if (status.topics.some((topic) => topic.lag === null)) found.push({ kind: "unreachable" });
    if (status.holds === null) found.push({ kind: "unchecked", checkedAt: status.checked_at });
  }
  return found;
}

/** From the bottom of the chart: what is wrong stands on the ground, where it can be compared. */
export const VERDICT_COLORS: Record<string, string> = {
  BROKEN: "--chart-red",
  PENDING: "--chart-blue",
  ACCEPTED: "--chart-gold",
  VOID: "--chart-gray",
  MATCHED_WITHIN_TOLERANCE: "--chart-tolerance",
  MATCHED: "--chart-matched",
};

export const CLASS_COLORS: Record<string, string> = {
  MISSING_ENTRY: "--chart-navy",
  AMOUNT_MISMATCH: "--chart-red",
  STATUS_MISMATCH: "--chart-gold",
  DUPLICATE_ENTRY: "--chart-blue",
  TIMESTAMP_MISMATCH: "--chart-gray",
  REFERENCE_MISMATCH: "--chart-pink",
  ACCOUNT_MISMATCH: "--chart-cyan",
  CURRENCY_MISMATCH: "--chart-orange",
  DIRECTION_MISMATCH: "--chart-olive",
  IDENTITY_CONFLICT: "--chart-violet",
  INVALID_RECORD: "--chart-brown",
};

/** A bar of the proportion of verdicts, in the order of the chart, the good ones first. */
export function proportions(verdicts: readonly Schema["VerdictSum"][]) {
  const order = Object.keys(VERDICT_COLORS).toReversed();
  return verdicts
    .filter(({ transactions }) => transactions > 0)
    .map((each) => ({ code: each.verdict, label: verdict(each.verdict).label, color: VERDICT_COLORS[each.verdict] ?? "--chart-gray", number: each.transactions }))
    .sort((a, b) => order.indexOf(a.code) - order.indexOf(b.code));
}
