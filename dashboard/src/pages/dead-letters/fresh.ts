/** Dead letters that came since the list was read, as far as they belong into it. Pure. */

import { STORED_WITHIN_MS, type DeadLetterItem } from "@/live/messages.ts";

/** So many are remembered, the newest. */
const FRESH_MAX = 10_000;

export interface Fresh {
  id: string;
  reason: string;
  topic: string;
  /** Epoch milliseconds. */
  toldAt: number;
}

export function remember(fresh: readonly Fresh[], items: readonly DeadLetterItem[], now: number): readonly Fresh[] {
  const known = new Set(fresh.map((each) => each.id));
  const told = items.map(({ place: { topic, partition, offset }, reason }) => ({ id: `${topic}:${partition}:${offset}`, reason, topic, toldAt: now }));
  return [...fresh, ...told.filter((each) => !known.has(each.id))].slice(-FRESH_MAX);
}

interface Filters {
  reason: string | undefined;
  topic: string | undefined;
  state: "OPEN" | "REPLAYED" | "DISCARDED";
}

/** How many wait to be shown in a list with these filters, that was read at `readAt` and has `shown` on screen: what is new is open. */
export function waiting(fresh: readonly Fresh[], { reason, topic, state }: Filters, shown: ReadonlySet<string>, readAt: number): number {
  if (state !== "OPEN") return 0;
  return fresh.filter(
    (each) => each.toldAt + STORED_WITHIN_MS > readAt && !shown.has(each.id) && (!reason || each.reason === reason) && (!topic || each.topic === topic),
  ).length;
}
