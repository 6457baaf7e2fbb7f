import { expect, it } from "vitest";
import type { DeadLetterItem } from "@/live/messages.ts";
import { remember, waiting } from "./fresh.ts";

const item = (topic: string, offset: string, reason = "BAD_KEY") => ({ reason, place: { topic, partition: 0, offset } }) as DeadLetterItem;
const ALL = { reason: undefined, topic: undefined, state: "OPEN" as const };
const NONE = new Set<string>();

it("knows each letter once, however often it is told", () => {
  const fresh = remember(remember([], [item("core_txns", "1")], 0), [item("core_txns", "1"), item("core_txns", "2")], 1);
  expect(fresh.map(({ id, toldAt }) => [id, toldAt])).toEqual([
    ["core_txns:0:1", 0],
    ["core_txns:0:2", 1],
  ]);
});

it("counts what fits and is not on screen", () => {
  const fresh = remember([], [item("core_txns", "1"), item("mobile_txns", "1"), item("core_txns", "2", "BAD_AVRO")], 0);
  expect(waiting(fresh, ALL, NONE, 0)).toBe(3);
  expect(waiting(fresh, ALL, new Set(["core_txns:0:1"]), 0)).toBe(2);
  expect(waiting(fresh, { ...ALL, topic: "core_txns" }, NONE, 0)).toBe(2);
  expect(waiting(fresh, { ...ALL, topic: "core_txns", reason: "BAD_AVRO" }, NONE, 0)).toBe(1);
  expect(waiting(fresh, { ...ALL, state: "DISCARDED" }, NONE, 0)).toBe(0);
});

it("takes for read what was told well before the list was read, and no later one", () => {
  const fresh = remember([], [item("core_txns", "1")], 10_000);
  expect(waiting(fresh, ALL, NONE, 12_000)).toBe(1);
  expect(waiting(fresh, ALL, NONE, 40_000)).toBe(0);
});
