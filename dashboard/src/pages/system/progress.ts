/** How far topics have come, and which of them somebody should look at. Pure; measured by the server's clock alone. */

import type { Schema } from "@/api/client.ts";
import { source } from "@/lib/words.ts";

type Topic = Schema["TopicView"];

/** So much later than another feed, a feed has stopped: they carry the same transactions. */
const STALLED_SECONDS = 120;
/** The sink stores within a second or two; so many seconds of work that wait are worth a word. */
const BEHIND_SECONDS = 30;
/** All feeds may be quiet at night; so long, it is worth a word. */
const SILENT_SECONDS = 600;

export type Progress =
  /** Records wait, and none was stored within the last minute; of some partitions, where others go on. */
  | { kind: "standing"; partitions: number[] }
  /** Another feed goes on. */
  | { kind: "stalled" }
  | { kind: "behind"; seconds: number }
  /** A feed of which nothing was ever stored. */
  | { kind: "never" }
  | { kind: "unmeasured" | "moving" | "quiet" };

const time = (at: string | null) => (at === null ? -Infinity : Date.parse(at));
const isLong = (from: string | null, to: string | null) => time(to) - time(from) > STALLED_SECONDS * 1000;

/** How a topic is, beside the others. */
export function progressOf(topic: Topic, topics: readonly Topic[]): Progress {
  const { per_second: pace, lag } = topic;
  if (lag && pace === 0) return { kind: "standing", partitions: [] };
  const stuck = topic.partitions.filter((each) => each.lag && isLong(each.stored_at, topic.stored_at));
  if (stuck.length) return { kind: "standing", partitions: stuck.map(({ partition }) => partition) };
  if (topic.is_source) {
    if (topic.stored_at === null) return { kind: "never" };
    if (topics.some((other) => other.is_source && isLong(topic.stored_at, other.stored_at))) return { kind: "stalled" };
  }
  const seconds = lag && pace ? lag / pace : 0;
  if (seconds > BEHIND_SECONDS) return { kind: "behind", seconds };
  if (pace === null) return { kind: "unmeasured" };
  return { kind: pace > 0 ? "moving" : "quiet" };
}

/** When a feed stored its last record, where that was long before the newest check: nobody reports any more. */
export function silentSince({ topics, checks }: Pick<Schema["Status"], "topics" | "checks">): string | undefined {
  const stored = topics.filter((topic) => topic.is_source).flatMap(({ stored_at: at }) => at ?? []);
  const [last, checked] = [stored.toSorted().at(-1), checks.map(({ checked_at: at }) => at).toSorted().at(-1)];
  return last !== undefined && checked !== undefined && time(checked) - time(last) > SILENT_SECONDS * 1000 ? last : undefined;
}

/** "core_txns" -> "Core": feeds are called as their source is, other topics as they are. */
export function feedName(topic: string): string {
  return topic.endsWith("_txns") ? source(topic.slice(0, -"_txns".length).toUpperCase()) : topic;
}
