/** What the socket says about a list that is on screen: rows never move by themselves. Pure. */

import type { MismatchItem, ResultItem } from "@/live/messages.ts";

/** Ids that are remembered; behind them only their number counts. */
const IDS_MAX = 20_000;

export interface Updates {
  /** Id of a row on screen -> what it is now. */
  changed: ReadonlyMap<string, string>;
  /** Transactions that are not on screen and came since it was read. */
  fresh: ReadonlySet<string>;
}

export const NOTHING: Updates = { changed: new Map(), fresh: new Set() };

interface Change {
  /** Of the row. */
  id: string;
  now: string;
}

function add(updates: Updates, changes: Change[], fresh: string[]): Updates {
  if (!changes.length && !fresh.length) return updates;
  const changed = changes.length ? new Map(updates.changed) : updates.changed;
  for (const { id, now } of changes) (changed as Map<string, string>).set(id, now);
  const known = fresh.length ? new Set(updates.fresh) : updates.fresh;
  for (const id of fresh) if (known.size < IDS_MAX) (known as Set<string>).add(id);
  return { changed, fresh: known };
}

/** For the list of breaks: `shown` holds the ids of breaks on screen, `state` is that of the list. */
export function addMismatches(updates: Updates, items: readonly MismatchItem[], shown: ReadonlySet<string>, state: "OPEN" | "RESOLVED"): Updates {
  const changes: Change[] = [];
  const fresh: string[] = [];
  for (const item of items) {
    for (const each of item.breaks) {
      if (shown.has(each.break_id)) {
        if (each.state !== state) changes.push({ id: each.break_id, now: each.state });
      } else if (each.state === state) {
        fresh.push(each.break_id);
      }
    }
  }
  return add(updates, changes, fresh);
}

/** For the list of transactions: `shown` holds the revision of each transaction on screen. */
export function addResults(updates: Updates, items: readonly ResultItem[], shown: ReadonlyMap<string, number>): Updates {
  const changes: Change[] = [];
  const fresh: string[] = [];
  for (const item of items) {
    const revision = shown.get(item.txn_id);
    if (revision === undefined) fresh.push(item.txn_id);
    else if (item.revision > revision) changes.push({ id: item.txn_id, now: item.verdict });
  }
  return add(updates, changes, fresh);
}
