/** All transactions with their live verdict. */

import { keepPreviousData, useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { dataOf, type Schema } from "@/api/client.ts";
import { allVerdictsQuery } from "@/api/queries.ts";
import { useApp, useChannel } from "@/app/context.ts";
import type { TransactionsSearch } from "@/app/searches.ts";
import { Badge } from "@/components/ui.tsx";
import { Instant, Money, Severity, Verdict } from "@/components/values.tsx";
import { breakClass, CLASSES, SEVERITIES, source, SOURCES, verdict, VERDICTS } from "@/lib/words.ts";
import { Facets, type Facet } from "./facets.tsx";
import { liveFilter, parameters, toggled } from "./filters.ts";
import { ListPage, type ListPageProps } from "./list-page.tsx";
import { addResults, NOTHING } from "./updates.ts";

type Row = Schema["TransactionRow"];
const route = getRouteApi("/transactions");
const PAGE = 200;

const COLUMNS: ListPageProps<Row>["columns"] = [
  {
    id: "txn_id",
    header: "Transaction",
    meta: { width: "minmax(12rem,1.6fr)" },
    cell: ({ row }) => <span className="font-mono text-[0.92em]">{row.original.txn_id}</span>,
  },
  { id: "verdict", header: "Verdict", meta: { width: "9.5rem" }, cell: ({ row }) => <Verdict code={row.original.verdict} /> },
  { id: "classes", header: "Open breaks", meta: { width: "minmax(8rem,1.2fr)" }, cell: ({ row }) => listed(row.original.classes.map(breakClass)) },
  { id: "subjects", header: "Odd one out", meta: { width: "minmax(6.5rem,0.8fr)" }, cell: ({ row }) => listed(row.original.subjects.map(source)) },
  { id: "severity", header: "Severity", meta: { width: "6.5rem" }, cell: ({ row }) => <Severity code={row.original.severity} /> },
  {
    id: "amount",
    header: "Amount",
    meta: { width: "minmax(8.5rem,1fr)", isNumber: true, sorts: ["amount", "-amount"] },
    cell: ({ row }) => <Money amount={row.original.amount} />,
  },
  { id: "revision", header: "Revision", meta: { width: "5rem", isNumber: true }, cell: ({ row }) => <span className="figures">{row.original.revision}</span> },
  {
    id: "decided_at",
    header: "Decided",
    meta: { width: "9.5rem", isNumber: true, sorts: ["decided_at", "-decided_at"] },
    cell: ({ row }) => <Instant at={row.original.decided_at} as="short" />,
  },
];

function listed(words: string[]) {
  return words.join(", ") || <span className="text-ink-3">–</span>;
}

export function Transactions() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { api } = useApp();
  const queries = useQueryClient();
  const [updates, setUpdates] = useState(NOTHING);
  const key = ["transactions", "list", search];
  const query = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ signal, pageParam }) =>
      dataOf(api.GET("/transactions", { signal, params: { query: { ...parameters(search), limit: PAGE, after: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    refetchOnWindowFocus: false,
    staleTime: Infinity,
    gcTime: 0,
    placeholderData: keepPreviousData,
  });
  const pages = query.data?.pages;
  // thousands of rows, and this page is painted anew with every batch of the socket
  const shown = useMemo(() => new Map(pages?.flatMap((page) => page.items.map((row) => [row.txn_id, row.revision] as const))), [pages]);
  useChannel("results", liveFilter(search), {
    onItems: (items) => setUpdates((old) => addResults(old, items, shown)),
    onReload: () => void showNew(),
  });
  const showNew = async () => {
    setUpdates(NOTHING);
    await queries.resetQueries({ queryKey: key });
  };
  const onSearch = (next: ListPageProps<Row>["search"]) => {
    setUpdates(NOTHING);
    void navigate({ search: next as TransactionsSearch });
  };
  return (
    <ListPage<Row>
      title="Transactions"
      about="Every transaction with the verdict that holds now."
      list="transactions"
      search={search}
      onSearch={onSearch}
      query={query}
      columns={COLUMNS}
      idOf={(row) => row.txn_id}
      card={(row) => <TransactionCard row={row} />}
      noteOf={(row) => <Note now={updates.changed.get(row.txn_id)} />}
      fileHead={["txn_id", "verdict", "classes", "severity", "amount", "currency", "revision", "decided_at"]}
      fileRow={(row) => [
        row.txn_id, row.verdict, row.classes.join(" "), row.severity, row.amount?.major ?? row.amount?.minor ?? null, row.amount?.currency ?? null,
        String(row.revision), row.decided_at,
      ]} // prettier-ignore
      onOpen={(row) => void navigate({ to: "/transactions/$txnId", params: { txnId: row.txn_id } })}
      usualSort="-decided_at"
      facets={<TransactionFacets search={search} onSearch={onSearch} />}
      fresh={updates.fresh.size}
      onShowNew={() => void showNew()}
      empty={{ title: "There is no transaction yet", about: "The first appears here as soon as a source has reported it." }}
    />
  );
}

function Note({ now }: { now: string | undefined }) {
  if (!now) return null;
  return <Badge tone={verdict(now).tone}>now {verdict(now).label.toLowerCase()}</Badge>;
}

function TransactionCard({ row }: { row: Row }) {
  return (
    <div className="flex flex-col gap-1">
      <span className="flex items-center gap-2">
        <Verdict code={row.verdict} />
        <span className="ml-auto text-xs text-ink-2">
          <Instant at={row.decided_at} as="ago" />
        </span>
      </span>
      <span className="truncate font-mono text-xs text-ink-2">{row.txn_id}</span>
      <span className="flex items-center justify-between gap-2">
        <span className="truncate text-ink-2">{row.classes.map(breakClass).join(", ")}</span>
        <Money amount={row.amount} className="font-medium" />
      </span>
    </div>
  );
}

function TransactionFacets({ search, onSearch }: Pick<ListPageProps<Row>, "search" | "onSearch">) {
  const { api } = useApp();
  const { data } = useQuery({ ...allVerdictsQuery(api, search.currency), placeholderData: keepPreviousData });
  const facet = (name: "verdict" | "class" | "source" | "severity", title: string, values: Facet["values"]): Facet => ({
    name,
    title,
    values,
    chosen: search[name] ?? [],
    onToggle: (code) => onSearch({ ...search, [name]: toggled(search[name], code) }),
  });
  const plain = (words: [string, string][]) => words.map(([code, label]) => ({ code, label, count: undefined }));
  return (
    <Facets
      about={`Counts are of all transactions${search.currency ? ` in ${search.currency}` : ""}, whatever else is filtered.`}
      facets={[
        facet("verdict", "Verdict", Object.entries(VERDICTS).map(([code, { label }]) => {
          const sum = data?.verdicts.find((each) => each.verdict === code);
          return { code, label, count: data && (sum?.transactions ?? 0) };
        })), // prettier-ignore
        facet("severity", "Severity", plain(Object.entries(SEVERITIES).map(([code, { label }]) => [code, label]))),
        facet("class", "Open break", plain(Object.entries(CLASSES).map(([code, { label }]) => [code, label]))),
        facet("source", "Odd one out", plain(Object.entries(SOURCES))),
      ]}
    />
  );
}
