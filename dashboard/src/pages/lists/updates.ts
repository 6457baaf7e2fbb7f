/** What the socket says about a list that is on screen: rows never move by themselves. Pure. */

import { STORED_WITHIN_MS, type MismatchItem, type ResultItem } from "@/live/messages.ts";

/** Ids that are remembered; of more it is only known that there are more. */
export const IDS_MAX = 20_000;

export interface Fresh {
  /** Epoch milliseconds. */
  toldAt: number;
  /** Whether it cannot be in rows that have not been read yet. */
  isNew: boolean;
}

export interface Updates {
  /** Id of a row on screen -> what it is now, where that is something else. */
  changed: ReadonlyMap<string, string>;
  /** Ids that are not on screen, and belong into the list since it was read. */
  fresh: ReadonlyMap<string, Fresh>;
  /** Whether something may have come that was not told. */
  isDoubtful: boolean;
}

export const NOTHING: Updates = { changed: new Map(), fresh: new Map(), isDoubtful: false };

/** Once the list is read again: what was told a moment ago may not be among the rows yet. */
export function recent({ fresh }: Updates, now: number): Updates {
  return { ...NOTHING, fresh: new Map([...fresh].filter(([, { toldAt }]) => toldAt > now - STORED_WITHIN_MS)) };
}

/** How many belong above a list of which these rows are shown, and whether that is certain. `isAll`: no row is left to be read. */
export function news({ fresh }: Updates, shown: { has: (id: string) => boolean }, isAll: boolean): { number: number; isExact: boolean } {
  const above = [...fresh].filter(([id]) => !shown.has(id));
  return { number: above.length, isExact: isAll || above.every(([, { isNew }]) => isNew) };
}

/** `changes`: what rows on screen are now, null as they stand there. `others`: ids that are not on screen, null where they do not belong into the list. */
function add(updates: Updates, changes: ReadonlyMap<string, string | null>, others: ReadonlyMap<string, Fresh | null>): Updates {
  if (!changes.size && !others.size) return updates;
  const changed = new Map(updates.changed);
  for (const [id, now] of changes) {
    if (now === null) changed.delete(id);
    else changed.set(id, now);
  }
  const fresh = new Map(updates.fresh);
  for (const [id, told] of others) {
    if (!told) fresh.delete(id);
    // what was new when it was told first stays so, whatever follows
    else if (fresh.size < IDS_MAX || fresh.has(id)) fresh.set(id, { ...told, isNew: told.isNew || Boolean(fresh.get(id)?.isNew) });
  }
  return { ...updates, changed, fresh };
}

/** For the list of breaks: `shown` holds the ids of breaks on screen; an item brings all breaks of a transaction, `fits` says which belong into the list. */
export function addMismatches(
  updates: Updates,
  items: readonly MismatchItem[],
  shown: ReadonlySet<string>,
  state: "OPEN" | "RESOLVED",
  fits: (each: MismatchItem["breaks"][number]) => boolean,
  now: number,
): Updates {
  const changes = new Map<string, string | null>();
  const others = new Map<string, Fresh | null>();
  for (const item of items) {
    for (const each of item.breaks) {
      if (shown.has(each.break_id)) changes.set(each.break_id, each.state === state ? null : each.state);
      // all breaks of a transaction are told again with each revision: those of the first one are new
      else others.set(each.break_id, each.state === state && fits(each) ? { toldAt: now, isNew: item.revision === 1 } : null);
    }
  }
  return add(updates, changes, others);
}

/** For the list of transactions: `shown` holds the revision of each transaction on screen. */
export function addResults(updates: Updates, items: readonly ResultItem[], shown: ReadonlyMap<string, number>, now: number): Updates {
  const changes = new Map<string, string>();
  const others = new Map<string, Fresh>();
  for (const item of items) {
    const revision = shown.get(item.txn_id);
    if (revision === undefined) others.set(item.txn_id, { toldAt: now, isNew: true });
    else if (item.revision > revision) changes.set(item.txn_id, item.verdict);
  }
  return add(updates, changes, others);
}
