/** Breaks: open ones to be settled, resolved ones to be looked up. */

import { keepPreviousData, useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { dataOf, type Schema } from "@/api/client.ts";
import { openBreaksQuery } from "@/api/queries.ts";
import { useApp, useChannel } from "@/app/context.ts";
import type { ExceptionsSearch } from "@/app/searches.ts";
import { Evidence } from "@/components/evidence.tsx";
import { Badge, Choice } from "@/components/ui.tsx";
import { Instant, Money, Severity } from "@/components/values.tsx";
import { breakClass, CLASSES, readable, SEVERITIES, source, SOURCES } from "@/lib/words.ts";
import { Facets, type Facet } from "./facets.tsx";
import { liveFilter, parameters, toggled } from "./filters.ts";
import { ListPage, type ListPageProps } from "./list-page.tsx";
import { addMismatches, NOTHING } from "./updates.ts";

type Row = Schema["MismatchRow"];
const route = getRouteApi("/exceptions");
const PAGE = 200;

const COLUMNS: ListPageProps<Row>["columns"] = [
  { id: "severity", header: "Severity", meta: { width: "6rem" }, cell: ({ row }) => <Severity code={row.original.severity} /> },
  { id: "class", header: "Class", meta: { width: "minmax(6.5rem,1fr)" }, cell: ({ row }) => <Kind row={row.original} /> },
  { id: "subject", header: "Odd one out", meta: { width: "5.8rem" }, cell: ({ row }) => source(row.original.subject) },
  {
    id: "txn_id",
    header: "Transaction",
    meta: { width: "minmax(11rem,1.4fr)" },
    cell: ({ row }) => <span className="font-mono text-[0.92em]">{row.original.txn_id}</span>,
  },
  { id: "expected", header: "Expected", meta: { width: "minmax(5rem,1fr)" }, cell: ({ row }) => <Said row={row.original} value={row.original.expected} /> },
  { id: "actual", header: "Says", meta: { width: "minmax(5rem,1fr)" }, cell: ({ row }) => <Said row={row.original} value={row.original.actual} /> },
  {
    id: "delta",
    header: "Difference",
    meta: { width: "minmax(6.5rem,1fr)", isNumber: true },
    cell: ({ row }) => <Money amount={row.original.delta} withSign />,
  },
  {
    id: "at_risk",
    header: "At risk",
    meta: { width: "minmax(7.5rem,1fr)", isNumber: true, sorts: ["amount", "-amount"] },
    cell: ({ row }) => <Money amount={row.original.at_risk} />,
  },
  {
    id: "opened_at",
    header: "Opened",
    meta: { width: "5.6rem", isNumber: true, sorts: ["opened_at", "-opened_at"] },
    cell: ({ row }) => <Instant at={row.original.opened_at} as="ago" />,
  },
];

export function Exceptions() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { api } = useApp();
  const queries = useQueryClient();
  const state = search.state ?? "OPEN";
  const [updates, setUpdates] = useState(NOTHING);
  const key = ["mismatches", "list", search];
  const query = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ signal, pageParam }) =>
      dataOf(api.GET("/mismatches", { signal, params: { query: { ...parameters(search), limit: PAGE, after: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    // each look is in the audit trail, and rows do not jump by themselves
    refetchOnWindowFocus: false,
    staleTime: Infinity,
    gcTime: 0,
    placeholderData: keepPreviousData,
  });
  const pages = query.data?.pages;
  // thousands of rows, and this page is painted anew with every batch of the socket
  const shown = useMemo(() => new Set(pages?.flatMap((page) => page.items.map((row) => row.break_id))), [pages]);
  useChannel("mismatches", liveFilter(search), {
    onItems: (items) => setUpdates((old) => addMismatches(old, items, shown, state)),
    onReload: () => void showNew(),
  });
  const showNew = async () => {
    setUpdates(NOTHING);
    await queries.resetQueries({ queryKey: key });
  };
  const onSearch = (next: ListPageProps<Row>["search"]) => {
    setUpdates(NOTHING);
    void navigate({ search: next as ExceptionsSearch });
  };
  return (
    <ListPage<Row>
      title="Exceptions"
      about={state === "OPEN" ? "Breaks that are open, each with what is at risk." : "Breaks that were resolved, and how."}
      list="mismatches"
      search={search}
      onSearch={onSearch}
      query={query}
      columns={COLUMNS}
      idOf={(row) => row.break_id}
      card={(row) => <ExceptionCard row={row} />}
      noteOf={(row) => <Note now={updates.changed.get(row.break_id)} />}
      fileHead={["break_id", "txn_id", "class", "subject", "severity", "state", "at_risk", "currency", "opened_at"]}
      fileRow={(row) => [
        row.break_id, row.txn_id, row.class, row.subject, row.severity, row.state, row.at_risk?.major ?? row.at_risk?.minor ?? null,
        row.at_risk?.currency ?? null, row.opened_at,
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
      fresh={updates.fresh.size}
      onShowNew={() => void showNew()}
      empty={
        state === "OPEN"
          ? { title: "No open breaks: everything agrees", about: "A new one appears here within moments." }
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
function Said({ row, value }: { row: Row; value: string | null }) {
  if (value?.includes(";")) return <span className="text-ink-2">each another</span>;
  return <Evidence of={row} value={value} />;
}

function ExceptionCard({ row }: { row: Row }) {
  return (
    <div className="flex flex-col gap-1">
      <span className="flex items-center gap-2">
        <Severity code={row.severity} /> <span className="truncate font-medium">{breakClass(row.class)}</span>
        <span className="ml-auto text-xs text-ink-2">
          <Instant at={row.opened_at} as="ago" />
        </span>
      </span>
      <span className="truncate font-mono text-xs text-ink-2">{row.txn_id}</span>
      <span className="flex items-center justify-between gap-2">
        <span className="text-ink-2">{source(row.subject)}</span>
        <Money amount={row.at_risk} className="font-medium" />
      </span>
    </div>
  );
}

function ExceptionFacets({ search, onSearch }: Pick<ListPageProps<Row>, "search" | "onSearch">) {
  const { api } = useApp();
  const isOpen = search.state !== "RESOLVED";
  const { data } = useQuery({ ...openBreaksQuery(api, search.currency), enabled: isOpen, placeholderData: keepPreviousData });
  const countOf = (sums: readonly { breaks: number }[] | undefined, at: number | undefined) =>
    isOpen && sums ? (at === undefined || at < 0 ? 0 : sums[at]?.breaks) : undefined;
  const facet = (name: "class" | "source" | "severity", title: string, values: [string, string, number | undefined][]): Facet => ({
    name,
    title,
    values: values.map(([code, label, number]) => ({ code, label, count: number })).filter((value) => value.count !== 0 || (search[name] as string[] | undefined)?.includes(value.code)),
    chosen: search[name] ?? [],
    onToggle: (code) => onSearch({ ...search, [name]: toggled(search[name], code) }),
  });
  return (
    <Facets
      about={isOpen ? `Counts are of all open breaks${search.currency ? ` in ${search.currency}` : ""}, whatever else is filtered.` : "Counts are kept for open breaks only."}
      facets={[
        facet("severity", "Severity", Object.entries(SEVERITIES).map(([code, { label }]) => [code, label, countOf(data?.severities, data?.severities.findIndex((sum) => sum.severity === code))])), // prettier-ignore
        facet("class", "Class", Object.entries(CLASSES).map(([code, { label }]) => [code, label, countOf(data?.classes, data?.classes.findIndex((sum) => sum.class === code))])), // prettier-ignore
        facet("source", "Odd one out", Object.entries(SOURCES).map(([code, label]) => [code, label, countOf(data?.subjects, data?.subjects.findIndex((sum) => sum.subject === code))])), // prettier-ignore
      ]}
    />
  );
}
