/** The filters that stand in addresses. What is mistyped there falls back to the usual, so no address ever shows an error. */

import * as v from "valibot";
import { TEXT_MAX } from "@/lib/form.ts";
import { CLASSES, SEVERITIES, SOURCES, VERDICTS } from "@/lib/words.ts";

const codes = <Code extends string>(known: Record<Code, unknown>) =>
  v.fallback(v.optional(v.array(v.picklist(Object.keys(known) as Code[]))), undefined);
const text = v.fallback(v.optional(v.pipe(v.union([v.string(), v.number()]), v.transform(String), v.maxLength(TEXT_MAX))), undefined);
const at = v.fallback(v.optional(v.pipe(v.string(), v.isoTimestamp())), undefined);
const currency = v.fallback(v.optional(v.pipe(v.string(), v.regex(/^[A-Z]{3}$/))), undefined);
const amount = v.fallback(v.optional(v.pipe(v.union([v.string(), v.number()]), v.transform(String), v.regex(/^-?\d{1,19}(\.\d{1,4})?$/))), undefined);
const one = <const Options extends readonly string[]>(options: Options) => v.fallback(v.optional(v.picklist(options)), undefined);

const SHARED = {
  class: codes(CLASSES),
  source: codes(SOURCES),
  severity: codes(SEVERITIES),
  currency,
  amount_min: amount,
  amount_max: amount,
  account: text,
  text,
  since: at,
  before: at,
};

export const OverviewSearch = v.object({
  period: one(["1h", "24h", "7d"]),
  /** What the charts leave out. */
  hidden: codes({ ...VERDICTS, ...CLASSES }),
  /** Which charts are shown as tables. */
  tables: codes({ verdicts: true, breaks: true }),
});

export const ExceptionsSearch = v.object({
  state: one(["OPEN", "RESOLVED"]),
  ...SHARED,
  sort: one(["-opened_at", "opened_at", "-amount", "amount"]),
});
export type ExceptionsSearch = v.InferOutput<typeof ExceptionsSearch>;

export const TransactionsSearch = v.object({
  verdict: codes(VERDICTS),
  ...SHARED,
  sort: one(["-decided_at", "decided_at", "-amount", "amount"]),
});
export type TransactionsSearch = v.InferOutput<typeof TransactionsSearch>;

export const TransactionSearch = v.object({ tab: one(["legs", "history", "records"]), break: text });

export const LiveSearch = v.object({
  channel: one(["results", "mismatches", "dead_letters"]),
  verdict: codes(VERDICTS),
  class: codes(CLASSES),
  source: codes(SOURCES),
  currency,
});

export const DeadLettersSearch = v.object({
  reason: text,
  topic: text,
  state: one(["OPEN", "REPLAYED", "DISCARDED"]),
  /** The one that is looked at: topic:partition:offset. */
  letter: text,
});

export const AuditSearch = v.object({
  actor: text,
  action: text,
  object: text,
  outcome: one(["ALLOWED", "DENIED", "FAILED"]),
  address: text,
  request_id: text,
  since: at,
  before: at,
});
export type AuditSearch = v.InferOutput<typeof AuditSearch>;
