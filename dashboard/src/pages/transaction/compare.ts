/** Three legs beside each other: which fields there are, what each source says, and which cells stand out. Pure. */

import type { Schema } from "@/api/client.ts";
import { source } from "@/lib/words.ts";

type Leg = Schema["LegView"];
type Break = Schema["BreakView"];

export const SOURCE_ORDER = ["CORE", "GATEWAY", "MOBILE"] as const;
export type SourceName = (typeof SOURCE_ORDER)[number];

/** `break`: an open break is about it. `undecided`: it differs, and may yet be corrected in time. `tolerated`: it differs from the others, and no break is open. */
export type Mark = "same" | "tolerated" | "undecided" | "break" | "absent";

export interface Cell {
  source: SourceName;
  leg: Leg | null;
  mark: Mark;
}

export interface Row {
  /** Name of the field as breaks call it. */
  field: string;
  cells: Cell[];
}

const VALUES: Record<string, (leg: Leg) => string> = {
  amount_minor: (leg) => `${leg.amount.minor} ${leg.amount.currency}`,
  direction: (leg) => leg.direction,
  status: (leg) => leg.canonical_status,
  account: (leg) => leg.account,
  reference: (leg) => leg.reference ?? "",
  occurred_at: (leg) => leg.occurred_at,
};

/** The rows of the comparison, in the order in which people check them. */
export function compare(legs: Record<string, Leg | null>, breaks: readonly Break[], isPending: boolean): Row[] {
  const open = breaks.filter((each) => each.state === "OPEN");
  return Object.entries(VALUES).map(([field, value]) => {
    const values = SOURCE_ORDER.map((name) => (legs[name] ? value(legs[name]) : undefined));
    const differ = new Set(values.filter((said) => said !== undefined)).size > 1;
    const about = open.filter((each) => isAbout(each, field));
    // a status may catch up until its deadline, whatever else is broken
    const isWaiting = isPending || (field === "status" && values.includes("PENDING") && !breaks.some((each) => isAbout(each, field)));
    const cells = SOURCE_ORDER.map((name, at): Cell => {
      const leg = legs[name] ?? null;
      if (!leg) return { source: name, leg, mark: "absent" };
      const isOdd = differ && values.filter((said) => said === values[at]).length === 1;
      if (about.some((each) => isOdd || each.subject === name || each.subject === "ALL")) return { source: name, leg, mark: "break" };
      return { source: name, leg, mark: !isOdd ? "same" : isWaiting ? "undecided" : "tolerated" };
    });
    return { field, cells };
  });
}

/** Amount and currency are one cell, two fields for breaks. */
function isAbout(each: Break, field: string): boolean {
  return each.field === field || (field === "amount_minor" && each.field === "currency");
}

/** Who is the odd one out, over all open breaks: the sources, in their order; empty where no majority tells. */
export function oddOnes(breaks: readonly Break[]): string[] {
  const subjects = new Set(breaks.filter((each) => each.state === "OPEN" && each.subject !== "ALL").map((each) => each.subject));
  return SOURCE_ORDER.filter((name) => subjects.has(name)).map(source);
}

/** The difference that is shown on top: of the open breaks the one with the largest, by magnitude. */
export function largestDelta(breaks: readonly Break[]): Schema["Money"] | null {
  const size = (each: Schema["Money"]) => BigInt(each.minor.replace("-", ""));
  return breaks
    .filter((each) => each.state === "OPEN")
    .flatMap((each) => each.delta ?? [])
    .reduce<Schema["Money"] | null>((largest, each) => (largest && size(largest) >= size(each) ? largest : each), null);
}
