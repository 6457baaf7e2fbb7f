/** Breaks: open ones to be settled, resolved ones to be looked up. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { dataOf, type Schema } from "@/api/client.ts";
import { useApp } from "@/app/context.ts";
import type { ExceptionsSearch } from "@/app/searches.ts";
import { Evidence } from "@/components/evidence.tsx";
import { Badge, Choice } from "@/components/ui.tsx";
import { Instant, Money, Severity, TxnId } from "@/components/values.tsx";
import { majorOf, signed, written } from "@/lib/money.ts";
import { usePreferences } from "@/lib/preferences.ts";
import { daysBetween } from "@/lib/time.ts";
import { breakClass, CLASSES, readable, SEVERITIES, source, SOURCES } from "@/lib/words.ts";
import { Facets, type Facet } from "./facets.tsx";
import { fits, inCurrency, parameters, toggled } from "./filters.ts";
import { ListPage, type ListPageProps } from "./list-page.tsx";
import { keyOf, PAGE, useList } from "./list.ts";
import { addMismatches } from "./updates.ts";

type Row = Schema["MismatchRow"];
const route = getRouteApi("/exceptions");

const idsOf = (rows: readonly Row[]) => new Set(rows.map((row) => row.break_id));

const COLUMNS: ListPageProps<Row>["columns"] = [
  { id: "severity", header: "Severity", meta: { width: "6rem" }, cell: ({ row }) => <Severity code={row.original.severity} /> },
  { id: "class", header: "Class", meta: { width: "minmax(7rem,0.8fr)" }, cell: ({ row }) => <Kind row={row.original} /> },
  { id: "subject", header: "Odd one out", meta: { width: "5.8rem" }, cell: ({ row }) => source(row.original.subject) },
  {
    id: "txn_id",
    header: "Transaction",
    meta: { width: "minmax(7rem,1.2fr)" },
    cell: ({ row }) => <TxnId id={row.original.txn_id} />,
  },
  { id: "said", header: "Expected → said", meta: { width: "minmax(9rem,1.5fr)", figureOf: saidFigures }, cell: ({ row }) => <Said row={row.original} /> },
  {
    id: "delta",
    header: "Difference",
    meta: { width: "minmax(5.6rem,0.6fr)", isNumber: true, figureOf: ({ delta }) => delta ? signed(delta) : undefined },
    // in the currency of what is at risk, which stands beside it
    cell: ({ row }) => <Money amount={row.original.delta} withSign isBare />,
  },
  {
    id: "at_risk",
    header: "At risk",
    meta: { width: "minmax(6.4rem,0.6fr)", isNumber: true, figureOf: ({ at_risk }) => at_risk ? written(at_risk) : undefined, sorts: ["amount", "-amount"] },
    cell: ({ row }) => <Money amount={row.original.at_risk} />,
  },
  {
    id: "opened_at",
    header: "Opened",
    meta: { width: "5.6rem", isNumber: true, sorts: ["opened_at", "-opened_at"] },
    cell: ({ row }) => <Instant at={row.original.opened_at} as="ago" />,
  },
];

/** Both amounts where the break is about amounts, as they are written under "Expected → said". */
function saidFigures({ field, delta, expected, actual }: Row): string | undefined {
  if (field !== "amount_minor" || !delta || !expected || !actual || actual.includes(";")) return undefined;
  return `${majorOf(expected, delta)} → ${majorOf(actual, delta)}`;
}

export function Exceptions() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { api } = useApp();
  const state = search.state ?? "OPEN";
  const list = useList({
    name: "mismatches",
    search,
    read: (after, signal) => dataOf(api.GET("/mismatches", { signal, params: { query: { ...parameters(search), limit: PAGE, after } } })),
    channel: "mismatches",
    shownOf: idsOf,
    add: (old, items, shown, now) => addMismatches(old, items, shown, state, (each) => fits(search, each), now),
  });
  const onSearch = (next: ListPageProps<Row>["search"]) => void navigate({ search: next as ExceptionsSearch });
  return (
    <ListPage<Row>
      title="Exceptions"
      about={state === "OPEN" ? "Breaks that are open, each with what is at risk." : "Breaks that were resolved, and how."}
      name="mismatches"
      list={list}
      search={search}
      onSearch={onSearch}
      columns={COLUMNS}
      idOf={(row) => row.break_id}
      card={(row) => <ExceptionCard row={row} />}
      noteOf={(row) => <Note now={list.updates.changed.get(row.break_id)} />}
      fileHead={["break_id", "txn_id", "class", "subject", "severity", "state", "field", "expected", "actual", "delta", "delta_minor", "at_risk", "at_risk_minor", "currency", "opened_at"]}
      fileRow={(row) => [
        row.break_id, row.txn_id, row.class, row.subject, row.severity, row.state, row.field, row.expected, row.actual,
        row.delta?.major, row.delta?.minor, row.at_risk?.major, row.at_risk?.minor, (row.at_risk ?? row.delta)?.currency, row.opened_at,
      ]} // prettier-ignore
      onOpen={(row) => void navigate({ to: "/transactions/$txnId", params: { txnId: row.txn_id }, search: { break: row.break_id } })}
      usualSort="-opened_at"
      facets={<ExceptionFacets search={search} onSearch={onSearch} />}
      aside={
        <Choice
          label="State"
          value={state}
          options={[
            { value: "OPEN", label: "Open" },
            { value: "RESOLVED", label: "Resolved" },
          ]}
          onChange={(value) => onSearch({ ...search, state: value === "OPEN" ? undefined : value })}
        />
      }
      empty={
        state === "OPEN"
          ? { title: "No open breaks", about: "A new one appears here within moments." }
          : { title: "No break has been resolved yet", about: "" }
      }
    />
  );
}

/** What a row has become since it was read. */
function Note({ now }: { now: string | undefined }) {
  if (!now) return null;
  return <Badge tone={now === "RESOLVED" ? "good" : "warn"}>now {readable(now).toLowerCase()}</Badge>;
}

function Kind({ row }: { row: Row }) {
  return (
    <>
      {breakClass(row.class)}
      {row.subtype && <span className="text-xs text-ink-2"> · {readable(row.subtype).toLowerCase()}</span>}
      {row.resolution && <span className="text-xs text-ink-2"> · {readable(row.resolution).toLowerCase()}</span>}
    </>
  );
}

/** One line of it: the transaction has all. */
function Said({ row }: { row: Row }) {
  if (row.actual?.includes(";")) return <span className="text-ink-2">each another</span>;
  if (!row.expected && !row.actual) return <span className="text-ink-3">–</span>;
  return (
    <>
      <span className="text-ink-2">
        <Evidence of={row} value={row.expected} isShort />
      </span>{" "}
      <span className="text-ink-3">→</span> <Evidence of={row} value={row.actual} isShort />
      {row.field === "occurred_at" && <DaysLater from={Number(row.expected)} to={Number(row.actual)} />}
    </>
  );
}

/** The times of day alone would look alike, were it another day. Epoch milliseconds. */
function DaysLater({ from, to }: { from: number; to: number }) {
  const { zone } = usePreferences();
  const days = daysBetween(from, to, zone);
  return days ? <span className="figures text-xs text-ink-2"> {`${days > 0 ? "+" : "\u2212"}${Math.abs(days)} d`}</span> : null;
}

function ExceptionCard({ row }: { row: Row }) {
  return (
    <div className="flex flex-col gap-1">
      <span className="flex items-center gap-2">
        <Severity code={row.severity} />
        <span className="min-w-0 flex-1 truncate">
          <span className="font-medium">{breakClass(row.class)}</span> <span className="text-ink-2">· {source(row.subject)}</span>
        </span>
        <span className="text-xs text-ink-2">
          <Instant at={row.opened_at} as="ago" />
        </span>
      </span>
      <span className="flex items-baseline justify-between gap-2">
        <span className="min-w-0 text-xs text-ink-2">
          <TxnId id={row.txn_id} />
        </span>
        <Money amount={row.at_risk} className="shrink-0 font-medium" />
      </span>
    </div>
  );
}

/** What the list can be narrowed by. */
export function ExceptionFacets({ search, onSearch }: { search: ExceptionsSearch; onSearch: (next: ExceptionsSearch) => void }) {
  const { api } = useApp();
  const { data, isPlaceholderData } = useQuery({
    queryKey: [...keyOf("mismatches", search), "facets"],
    queryFn: ({ signal }) => {
      const query = { ...parameters(search), sort: undefined };
      return dataOf(api.GET("/mismatches/facets", { signal, params: { query } }));
    },
    // as of the list: each look is in the audit trail
    refetchOnWindowFocus: false,
    staleTime: Infinity,
    gcTime: 0,
    placeholderData: keepPreviousData,
  });
  const values = (name: "class" | "source" | "severity" | "currency", labels: [string, string][], chosen: readonly string[]) =>
    labels
      .map(([code, label]) => ({ code, label, count: data && (data[name].find(({ value }) => value === code)?.breaks ?? 0) }))
      .filter(({ code, count }) => count !== 0 || chosen.includes(code));
  const facet = (name: "class" | "source" | "severity", title: string, labels: [string, string][]): Facet => ({
    name,
    title,
    values: values(name, labels, search[name] ?? []),
    chosen: search[name] ?? [],
    onToggle: (code) => onSearch({ ...search, [name]: toggled(search[name], code) }),
  });
  const currencies = search.currency ? [search.currency] : [];
  const codes = [...new Set([...currencies, ...(data?.currency.map(({ value }) => value) ?? [])])].sort();
  return (
    <Facets
      isOld={isPlaceholderData}
      about={
        data?.capped
          ? "Each count is what its value leads to, the other filters as they are; of the newest 100\u202f000 breaks of a state."
          : "Each count is what its value leads to, the other filters as they are."
      }
      facets={[
        facet("severity", "Severity", Object.entries(SEVERITIES).map(([code, { label }]) => [code, label])),
        facet("class", "Class", Object.entries(CLASSES).map(([code, { label }]) => [code, label])),
        facet("source", "Odd one out", Object.entries(SOURCES)),
        {
          name: "currency",
          title: "Currency",
          values: values("currency", codes.map((code) => [code, code]), currencies),
          chosen: currencies,
          onToggle: (code) => onSearch(inCurrency(search, code === search.currency ? undefined : code)),
        },
      ]}
    />
  );
}
