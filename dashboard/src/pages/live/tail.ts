/** What a live view holds: a ring of the newest lines, and beside it, while it is paused, what has come since. Pure. */

import type { Channel, Items } from "@/live/messages.ts";

/** Lines on screen, and as many held back; older ones are in the lists. */
export const LINES_MAX = 5_000;
/** A record that is told again follows close on the first time. */
const AGAIN_MAX = 500;

export interface Tail<Item> {
  /** Newest first. */
  shown: readonly Item[];
  /** Come while paused, newest first. */
  held: readonly Item[];
  /** Come while paused and not kept, because there were too many. */
  dropped: number;
  isPaused: boolean;
  /** Whether the server could not tell all that came. */
  hasGap: boolean;
}

export const EMPTY: Tail<never> = { shown: [], held: [], dropped: 0, isPaused: false, hasGap: false };

/** `items` as they came: oldest first. */
export function add<Item>(tail: Tail<Item>, items: readonly Item[]): Tail<Item> {
  const newest = [...items].reverse();
  if (!tail.isPaused) return { ...tail, shown: newest.concat(tail.shown).slice(0, LINES_MAX) };
  const held = newest.concat(tail.held);
  return { ...tail, held: held.slice(0, LINES_MAX), dropped: tail.dropped + Math.max(0, held.length - LINES_MAX) };
}

export function pause<Item>(tail: Tail<Item>): Tail<Item> {
  return { ...tail, isPaused: true };
}

/** Shows what was held back, and goes on. */
export function resume<Item>(tail: Tail<Item>): Tail<Item> {
  return { ...tail, isPaused: false, shown: tail.held.concat(tail.shown).slice(0, LINES_MAX), held: [], dropped: 0 };
}

/** The same record has the same key, also where it is told again after a break. */
export function keyOf(item: Items[Channel]): string {
  return `${item.partition}/${item.offset}`;
}

/** Leaves out what is there already: a resumed socket may tell a record twice. */
export function unseen<Item extends Items[Channel]>(tail: Tail<Item>, items: readonly Item[]): Item[] {
  const known = new Set([...tail.shown.slice(0, AGAIN_MAX), ...tail.held.slice(0, AGAIN_MAX)].map(keyOf));
  return items.filter((item) => !known.has(keyOf(item)));
}
