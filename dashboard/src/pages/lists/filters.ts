/** Filters as they stand in the address, as the API asks for them, and as people read them. Pure. */

import type { ExceptionsSearch, TransactionsSearch } from "@/app/searches.ts";
import { queryString } from "@/lib/query.ts";
import { instant, type Zone } from "@/lib/time.ts";
import { breakClass, severity, source, verdict } from "@/lib/words.ts";
import type { Filter } from "@/live/messages.ts";

/** What both lists filter by, and each by itself. */
export type Search = Omit<ExceptionsSearch, "sort"> & Omit<TransactionsSearch, "sort"> & { sort?: string | undefined };

type ListName = "verdict" | "class" | "source" | "severity";
const LISTS: Record<ListName, { name: string; label: (code: string) => string }> = {
  verdict: { name: "Verdict", label: (code) => verdict(code).label },
  severity: { name: "Severity", label: (code) => severity(code).label },
  class: { name: "Class", label: breakClass },
  source: { name: "Odd one out", label: source },
};

/** A filter that holds, and the search without it. */
export interface Chip {
  key: string;
  text: string;
  without: Search;
}

/** Every filter that holds, one by one, so that none is ever hidden. */
export function chips(given: Search, zone: Zone): Chip[] {
  const search = parameters(given);
  const found: Chip[] = [];
  for (const [key, { name, label }] of Object.entries(LISTS) as [ListName, (typeof LISTS)[ListName]][]) {
    for (const code of search[key] ?? []) {
      const rest = search[key]?.filter((each) => each !== code);
      found.push({ key: `${key}:${code}`, text: `${name}: ${label(code)}`, without: { ...search, [key]: rest?.length ? rest : undefined } });
    }
  }
  const single = (key: keyof Search, text: string) => found.push({ key, text, without: { ...search, [key]: undefined } });
  if (search.currency) found.push({ key: "currency", text: `Currency: ${search.currency}`, without: inCurrency(search, undefined) });
  if (search.amount_min) single("amount_min", `At least ${search.amount_min}`);
  if (search.amount_max) single("amount_max", `At most ${search.amount_max}`);
  if (search.account) single("account", `Account: ${search.account}`);
  if (search.text) single("text", `Text: ${search.text}`);
  if (search.since) single("since", `From ${instant(search.since, zone)}`);
  if (search.before) single("before", `Before ${instant(search.before, zone)}`);
  return found;
}

/** The search in another currency or in any: amounts compare within a currency only, so limits of amounts fall away. */
export function inCurrency<Given extends Search>(search: Given, currency: string | undefined): Given {
  return { ...search, currency, amount_min: undefined, amount_max: undefined, sort: currency ? search.sort : timeSort(search.sort) };
}

/** An order by amount needs a currency; without one, the usual order holds. */
function timeSort(sort: string | undefined): string | undefined {
  return sort?.endsWith("amount") ? undefined : sort;
}

/** The parameters of the list, without those that the API would refuse together. */
export function parameters<Given extends Search>(search: Given): Given {
  if (search.currency) return search;
  return { ...search, amount_min: undefined, amount_max: undefined, sort: timeSort(search.sort) };
}

/** The same as a query, for the address of an export. */
export function queryOf(search: Search): string {
  return queryString({ ...parameters(search) });
}

/** What of it the websocket can filter by. */
export function liveFilter(search: Search): Filter {
  return { verdict: search.verdict, class: search.class, source: search.source, currency: search.currency && [search.currency] } as Filter;
}

/** Whether a break is of the classes, sources and severities that are looked for. */
export function fits(search: Search, { class: kind, subject, severity: rank }: { class: string; subject: string; severity: string }): boolean {
  const isIn = (list: readonly string[] | undefined, code: string) => !list || list.includes(code);
  return isIn(search.class, kind) && isIn(search.source, subject) && isIn(search.severity, rank);
}

/** Whether the websocket tells just what the list shows; else what it tells may fit or not. */
export function isTold(search: Search): boolean {
  return !(search.severity ?? search.amount_min ?? search.amount_max ?? search.account ?? search.text ?? search.before);
}

/** A list of codes with one more or one less; undefined for none. */
export function toggled(list: readonly string[] | undefined, code: string): string[] | undefined {
  const next = list?.includes(code) ? list.filter((each) => each !== code) : [...(list ?? []), code];
  return next.length ? next : undefined;
}
