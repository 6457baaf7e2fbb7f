/** The timeline of a transaction: revisions of the verdict and moves of its breaks, newest first. Pure. */

import type { Schema } from "@/api/client.ts";

export interface Moment {
  revision: Schema["RevisionView"];
  /** What happened to breaks by this revision. */
  moves: Schema["MoveView"][];
  /** Seconds since the revision before it; null for the first. */
  secondsAfter: number | null;
}

export function timeline({ revisions, moves }: Pick<Schema["Transaction"], "revisions" | "moves">): Moment[] {
  const ascending = [...revisions].sort((a, b) => a.revision - b.revision);
  return ascending
    .map((revision, at) => {
      const before = ascending[at - 1];
      return {
        revision,
        moves: moves.filter((move) => move.revision === revision.revision),
        secondsAfter: before ? (Date.parse(revision.decided_at) - Date.parse(before.decided_at)) / 1000 : null,
      };
    })
    .reverse();
}
