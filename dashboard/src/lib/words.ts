/** The words of the product, in one place: how each code is called, and how grave it is. */

export type Tone = "good" | "warn" | "bad" | "info" | "quiet";

interface Word {
  label: string;
  tone: Tone;
  about: string;
}

export const VERDICTS = {
  PENDING: { label: "Pending", tone: "info", about: "Not all legs have come, and no deadline has passed." },
  MATCHED: { label: "Matched", tone: "good", about: "All three sources say the same." },
  MATCHED_WITHIN_TOLERANCE: { label: "Within tolerance", tone: "good", about: "They differ, but by no more than the rules allow." },
  BROKEN: { label: "Broken", tone: "bad", about: "At least one break is open." },
  ACCEPTED: { label: "Accepted", tone: "quiet", about: "A person has accepted the difference." },
  VOID: { label: "Void", tone: "quiet", about: "The transaction was withdrawn by its sources." },
} satisfies Record<string, Word>;

export const CLASSES = {
  INVALID_RECORD: { label: "Invalid record", about: "A source sent a record that is not valid." },
  IDENTITY_CONFLICT: { label: "Identity conflict", about: "One event id came with two contents." },
  DUPLICATE_ENTRY: { label: "Duplicate entry", about: "A source entered the transaction twice." },
  CURRENCY_MISMATCH: { label: "Currency", about: "The sources name different currencies." },
  DIRECTION_MISMATCH: { label: "Direction", about: "One says debit, another credit." },
  ACCOUNT_MISMATCH: { label: "Account", about: "The account numbers differ." },
  AMOUNT_MISMATCH: { label: "Amount", about: "The amounts differ by more than the tolerance." },
  STATUS_MISMATCH: { label: "Status", about: "The sources do not agree how it ended." },
  MISSING_ENTRY: { label: "Missing entry", about: "A source did not report it before its deadline." },
  REFERENCE_MISMATCH: { label: "Reference", about: "The references differ." },
  TIMESTAMP_MISMATCH: { label: "Time", about: "The times differ by more than the tolerance." },
} satisfies Record<string, { label: string; about: string }>;

export const SEVERITIES = {
  CRITICAL: { label: "Critical", tone: "bad" },
  HIGH: { label: "High", tone: "warn" },
  MEDIUM: { label: "Medium", tone: "info" },
  LOW: { label: "Low", tone: "quiet" },
} satisfies Record<string, { label: string; tone: Tone }>;

export const SOURCES = {
  CORE: "Core",
  GATEWAY: "Gateway",
  MOBILE: "Mobile",
  ALL: "No majority",
} satisfies Record<string, string>;

export const FIELDS: Record<string, string> = {
  amount_minor: "Amount",
  currency: "Currency",
  direction: "Direction",
  account: "Account",
  status: "Status",
  reference: "Reference",
  occurred_at: "Time",
};

/** What is not known here is shown as it came, in readable letters: a newer server may say more than this page knows. */
export function readable(code: string): string {
  const words = code.toLowerCase().replaceAll(/[_.-]/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** A word for any code that may come. */
function known<Value>(words: Record<string, Value>, code: string): Value | undefined {
  return words[code];
}

export const verdict = (code: string): Word => known<Word>(VERDICTS, code) ?? { label: readable(code), tone: "quiet", about: code };
export const breakClass = (code: string): string => known<{ label: string }>(CLASSES, code)?.label ?? readable(code);
export const severity = (code: string): { label: string; tone: Tone } => known<{ label: string; tone: Tone }>(SEVERITIES, code) ?? { label: readable(code), tone: "quiet" };
export const source = (code: string): string => known<string>(SOURCES, code) ?? readable(code);
export const field = (code: string): string => FIELDS[code] ?? readable(code);

/** "1 break", "2 breaks". */
export function plural(number: number, one: string, many = `${one}s`): string {
  return `${String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f")} ${number === 1 ? one : many}`;
}
