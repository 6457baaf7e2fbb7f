/** What a live view holds: a ring of the newest lines, and beside it, while it is paused, what has come since. Pure. */

import type { Channel, Items } from "@/live/messages.ts";

/** Lines on screen and lines held back; older ones are in the lists. */
export const SHOWN_MAX = 500;
export const HELD_MAX = 5_000;

export interface Tail<Item> {
  /** Newest first. */
  shown: readonly Item[];
  /** Come while paused, newest first. */
  held: readonly Item[];
  /** Come while paused and not kept, because there were too many. */
  dropped: number;
  isPaused: boolean;
  /** All that came. */
  total: number;
}

export const EMPTY: Tail<never> = { shown: [], held: [], dropped: 0, isPaused: false, total: 0 };

/** `items` as they came: oldest first. */
export function add<Item>(tail: Tail<Item>, items: readonly Item[]): Tail<Item> {
  const newest = [...items].reverse();
  const total = tail.total + items.length;
  if (!tail.isPaused) return { ...tail, total, shown: newest.concat(tail.shown).slice(0, SHOWN_MAX) };
  const held = newest.concat(tail.held);
  return { ...tail, total, held: held.slice(0, HELD_MAX), dropped: tail.dropped + Math.max(0, held.length - HELD_MAX) };
}

export function pause<Item>(tail: Tail<Item>): Tail<Item> {
  return { ...tail, isPaused: true };
}

/** Shows what was held back, and goes on. */
export function resume<Item>(tail: Tail<Item>): Tail<Item> {
  return { ...tail, isPaused: false, shown: tail.held.concat(tail.shown).slice(0, SHOWN_MAX), held: [], dropped: 0 };
}

/** The same record has the same key, also where it is told again after a break. */
export function keyOf(item: Items[Channel]): string {
  return `${item.partition}/${item.offset}`;
}

/** Leaves out what is there already: a resumed socket may tell a record twice. */
export function unseen<Item extends Items[Channel]>(tail: Tail<Item>, items: readonly Item[]): Item[] {
  const known = new Set([...tail.shown.slice(0, SHOWN_MAX), ...tail.held.slice(0, SHOWN_MAX)].map(keyOf));
  return items.filter((item) => !known.has(keyOf(item)));
}
