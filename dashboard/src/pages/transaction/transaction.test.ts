import { describe, expect, it } from "vitest";
import type { Schema } from "@/api/client.ts";
import { bytesOf, hexDump } from "./bytes.ts";
import { compare, largestDelta, oddOnes } from "./compare.ts";
import { timeline } from "./history.ts";

type Leg = Schema["LegView"];
type Break = Schema["BreakView"];

function leg(source: string, change: Partial<Leg> = {}): Leg {
  return {
    source, event_id: `e-${source}`, revision: 0, amount: { minor: "1000", major: "10.00", currency: "EUR" }, direction: "DEBIT",
    status: "DONE", canonical_status: "SUCCESS", occurred_at: "2026-01-01T00:00:00.000Z", account: "DE1", reference: "r",
    place: { topic: `${source.toLowerCase()}_txns`, partition: 0, offset: "1" }, schema_id: 1, ...change,
  }; // prettier-ignore
}

function brk(change: Partial<Break>): Break {
  return {
    break_id: "b", class: "AMOUNT_MISMATCH", subtype: "", subject: "GATEWAY", field: "amount_minor", expected: "1000", actual: "1001",
    delta: null, severity: "HIGH", state: "OPEN", resolution: null, ...change,
  }; // prettier-ignore
}

const marks = (legs: Record<string, Leg | null>, breaks: Break[], field: string, isPending = false) =>
  compare(legs, breaks, isPending).find((row) => row.field === field)?.cells.map((cell) => cell.mark);

describe("the comparison", () => {
  const odd = leg("GATEWAY", { amount: { minor: "1001", major: "10.01", currency: "EUR" } });
  const legs = { CORE: leg("CORE"), GATEWAY: odd, MOBILE: leg("MOBILE") };

  it("marks what an open break is about, at its source", () => {
    expect(marks(legs, [brk({})], "amount_minor")).toEqual(["same", "break", "same"]);
    expect(marks(legs, [brk({ field: "currency" })], "amount_minor")).toEqual(["same", "break", "same"]);
  });

  it("marks all sides where no majority tells who is wrong", () => {
    expect(marks(legs, [brk({ subject: "ALL" })], "amount_minor")).toEqual(["break", "break", "break"]);
  });

  it("shows a difference without an open break as tolerated", () => {
    expect(marks(legs, [brk({ state: "RESOLVED" })], "amount_minor")).toEqual(["same", "tolerated", "same"]);
  });

  it("calls a difference that may still be corrected in time not judged", () => {
    const lagging = { ...legs, GATEWAY: leg("GATEWAY", { canonical_status: "PENDING" }) };
    expect(marks(lagging, [], "status", true)).toEqual(["same", "undecided", "same"]);
    expect(marks(lagging, [brk({})], "status")).toEqual(["same", "undecided", "same"]);
    expect(marks(lagging, [brk({ field: "status", state: "RESOLVED" })], "status")).toEqual(["same", "tolerated", "same"]);
  });

  it("marks both of two sides that differ where a break is open about one", () => {
    const two = { CORE: leg("CORE"), GATEWAY: leg("GATEWAY", { canonical_status: "PENDING" }), MOBILE: null };
    expect(marks(two, [brk({ field: "status", subtype: "LAGGING" })], "status")).toEqual(["break", "break", "absent"]);
  });

  it("marks nothing in what is equal, and what has not come as absent", () => {
    expect(marks({ ...legs, MOBILE: null }, [], "status")).toEqual(["same", "same", "absent"]);
  });
});

it("names the odd ones out of open breaks in the order of the sources", () => {
  expect(oddOnes([brk({ subject: "MOBILE" }), brk({ subject: "CORE" }), brk({ subject: "ALL" }), brk({ state: "RESOLVED" })])).toEqual(["Core", "Mobile"]);
});

it("shows the largest difference, compared exactly", () => {
  const delta = (minor: string) => ({ minor, major: null, currency: "EUR" });
  const breaks = [delta("9007199254740992"), delta("-9007199254740993"), null].map((each) => brk({ delta: each }));
  expect(largestDelta(breaks)?.minor).toBe("-9007199254740993");
});

it("the timeline has the newest revision first, with its moves and the time since the one before", () => {
  const revision = (number: number, at: string) => ({ revision: number, decided_at: at }) as Schema["RevisionView"];
  const move = { revision: 2, break_id: "b" } as Schema["MoveView"];
  const shown = timeline({ revisions: [revision(1, "2026-01-01T00:00:00Z"), revision(2, "2026-01-01T00:00:09Z")], moves: [move] });
  expect(shown.map((each) => [each.revision.revision, each.secondsAfter, each.moves.length])).toEqual([
    [2, 9, 1],
    [1, null, 0],
  ]);
});

it("bytes are shown with offset, digits and what can be printed", () => {
  expect(hexDump(bytesOf(btoa("AB\x00<script>")))).toBe("000000  41 42 00 3c 73 63 72 69 70 74 3e                 AB·<script>");
  expect(hexDump(new Uint8Array(40), 20).split("\n")).toHaveLength(2);
});
