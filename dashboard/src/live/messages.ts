/** What /ws says, as far as this page uses it; docs/live.schema.json has the whole. */

import type { Schema } from "@/api/client.ts";

export type Channel = "results" | "mismatches" | "dead_letters";
export type Position = Record<string, string>;

/** The socket may tell something so long before the database has it: a list that was read meanwhile may lack it. */
export const STORED_WITHIN_MS = 30_000;

interface Placed {
  partition: number;
  offset: string;
  published_at: string;
}

export type ResultItem = Schema["TransactionRow"] & Placed;
export type MismatchItem = ResultItem & Pick<Schema["Transaction"], "explanation" | "legs" | "breaks">;
export interface DeadLetterItem extends Placed {
  place: Schema["Place"];
  reason: string;
  detail: string;
  schema_id: number | null;
  failed_at: string;
}
export interface Items {
  results: ResultItem;
  mismatches: MismatchItem;
  dead_letters: DeadLetterItem;
}

export interface Filter {
  verdict?: string[] | undefined;
  class?: string[] | undefined;
  source?: string[] | undefined;
  currency?: string[] | undefined;
  txn_id?: string[] | undefined;
}

export interface StatsMessage {
  type: "stats";
  at: string;
  results: number;
  mismatches: number;
  dead_letters: number;
  verdicts: Record<string, number>;
  /** From the causing record to the verdict; null where there was none. */
  latency_ms: { p50: number; p95: number } | null;
}

export interface StatusMessage {
  type: "status";
  at: string;
  live: boolean;
  reason: string | null;
  behind: Record<string, number>;
  sockets: number;
}

export type ServerMessage =
  | { type: "hello"; channels: string[]; expires_at: string }
  | { type: "subscribed"; channel: string; position: Position | null }
  | { type: "unsubscribed"; channel: string }
  | { type: "messages"; channel: Channel; position: Position; items: Items[Channel][] }
  | { type: "reload"; channel: Channel; reason: "gone" | "too_far" | "unknown"; position: Position }
  | StatsMessage
  | StatusMessage
  | { type: "renewed"; channels: string[]; expires_at: string }
  | { type: "error"; code: string; detail: string; channel: string | null };
