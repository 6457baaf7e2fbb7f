import { expect, it } from "vitest";
import type { Schema } from "@/api/client.ts";
import { feedName, progressOf, silentSince } from "./progress.ts";

type Topic = Schema["TopicView"];

const NOW = "2026-11-26T10:10:00.000Z";
const EARLIER = "2026-11-26T10:00:00.000Z";
const topic = (name: string, more: Partial<Topic> = {}): Topic => ({
  topic: name, is_source: name.endsWith("_txns"), offset: "10", per_second: 5, lag: 0, stored_at: NOW, partitions: [], ...more,
}); // prettier-ignore
const CORE = topic("core_txns");
const kind = (one: Topic, ...others: Topic[]) => progressOf(one, [one, ...others]).kind;

it.each<[string, Partial<Topic>]>([
  ["moving", {}],
  ["quiet", { per_second: 0 }],
  ["unmeasured", { per_second: null }],
  ["unmeasured", { per_second: null, lag: null }],
  ["never", { stored_at: null, per_second: null }],
  ["stalled", { stored_at: EARLIER }],
  ["moving", { lag: 10_000, per_second: 5_000 }],
  ["behind", { lag: 10_000, per_second: 10 }],
  ["standing", { lag: 1, per_second: 0 }],
])("a feed is %s with %j", (expected, more) => {
  expect(kind(topic("mobile_txns", more), CORE)).toBe(expected);
});

it("a feed is stalled only beside one that goes on, and what is no feed never is", () => {
  const old = { stored_at: "2026-11-26T09:00:00.000Z" };
  expect(kind(topic("mobile_txns", old), topic("core_txns", { stored_at: "2026-11-26T09:01:00.000Z" }))).toBe("moving");
  expect(kind(topic("mobile_txns", old), topic("recon_results"))).toBe("moving");
  expect(kind(topic("recon_results", old), CORE)).toBe("moving");
  expect(kind(topic("recon_results", { stored_at: null }), CORE)).toBe("moving");
});

it("a partition that stands still is told, however well the others go", () => {
  const partition = (number: number, lag: number | null, at: string | null) => ({ partition: number, offset: "5", lag, stored_at: at });
  const partitions = [partition(0, 0, EARLIER), partition(1, 7, EARLIER), partition(2, 7, NOW), partition(3, 7, null), partition(4, null, EARLIER)];
  expect(progressOf(topic("core_txns", { lag: 21, partitions }), [CORE])).toEqual({ kind: "standing", partitions: [1, 3] });
});

it("all feeds are silent where the newest of them ended long before the newest check", () => {
  const check = { checked_at: "2026-11-26T10:20:00.001Z" } as Schema["CheckView"];
  const silent = (...topics: Topic[]) => silentSince({ topics, checks: [check] });
  expect(silent(CORE, topic("mobile_txns", { stored_at: EARLIER }), topic("recon_results", { stored_at: check.checked_at }))).toBe(NOW);
  expect(silent(CORE, topic("mobile_txns", { stored_at: "2026-11-26T10:10:00.001Z" }))).toBeUndefined();
  expect(silent(topic("core_txns", { stored_at: null }))).toBeUndefined();
  expect(silentSince({ topics: [CORE], checks: [] })).toBeUndefined();
});

it("feeds are called as their source", () => {
  expect([feedName("core_txns"), feedName("recon_results")]).toEqual(["Core", "recon_results"]);
});
