/** All transactions with their live verdict. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { dataOf, type Schema } from "@/api/client.ts";
import { allVerdictsQuery } from "@/api/queries.ts";
import { useApp } from "@/app/context.ts";
import type { TransactionsSearch } from "@/app/searches.ts";
import { Badge } from "@/components/ui.tsx";
import { Instant, Money, Severity, TxnId, Verdict } from "@/components/values.tsx";
import { written } from "@/lib/money.ts";
import { breakClass, CLASSES, SEVERITIES, source, SOURCES, verdict, VERDICTS } from "@/lib/words.ts";
import { Facets, type Facet } from "./facets.tsx";
import { parameters, toggled } from "./filters.ts";
import { ListPage, type ListPageProps } from "./list-page.tsx";
import { PAGE, useList } from "./list.ts";
import { addResults } from "./updates.ts";

type Row = Schema["TransactionRow"];
const route = getRouteApi("/transactions");

const revisionsOf = (rows: readonly Row[]) => new Map(rows.map((row) => [row.txn_id, row.revision]));

const COLUMNS: ListPageProps<Row>["columns"] = [
  {
    id: "txn_id",
    header: "Transaction",
    meta: { width: "minmax(12rem,1.6fr)" },
    cell: ({ row }) => <TxnId id={row.original.txn_id} />,
  },
  { id: "verdict", header: "Verdict", meta: { width: "9.4rem" }, cell: ({ row }) => <Verdict code={row.original.verdict} /> },
  { id: "classes", header: "Open breaks", meta: { width: "minmax(7rem,1.2fr)" }, cell: ({ row }) => listed(row.original.classes.map(breakClass)) },
  { id: "subjects", header: "Odd one out", meta: { width: "minmax(6.5rem,0.8fr)" }, cell: ({ row }) => listed(row.original.subjects.map(source)) },
  { id: "severity", header: "Severity", meta: { width: "6.2rem" }, cell: ({ row }) => <Severity code={row.original.severity} /> },
  {
    id: "amount",
    header: "Amount",
    meta: { width: "minmax(6.4rem,1fr)", isNumber: true, figureOf: ({ amount }) => amount ? written(amount) : undefined, sorts: ["amount", "-amount"] },
    cell: ({ row }) => <Money amount={row.original.amount} />,
  },
  { id: "revision", header: "Revision", meta: { width: "4.4rem", isNumber: true }, cell: ({ row }) => <span className="figures">{row.original.revision}</span> },
  {
    id: "decided_at",
    header: "Decided",
    meta: { width: "8.6rem", isNumber: true, sorts: ["decided_at", "-decided_at"] },
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
  const list = useList({
    name: "transactions",
    search,
    read: (after, signal) => dataOf(api.GET("/transactions", { signal, params: { query: { ...parameters(search), limit: PAGE, after } } })),
    channel: "results",
    shownOf: revisionsOf,
    add: addResults,
  });
  const onSearch = (next: ListPageProps<Row>["search"]) => void navigate({ search: next as TransactionsSearch });
  return (
    <ListPage<Row>
      title="Transactions"
      about="Every transaction with the verdict that holds now."
      name="transactions"
      list={list}
      search={search}
      onSearch={onSearch}
      columns={COLUMNS}
      idOf={(row) => row.txn_id}
      card={(row) => <TransactionCard row={row} />}
      noteOf={(row) => <Note now={list.updates.changed.get(row.txn_id)} />}
      fileHead={["txn_id", "verdict", "classes", "severity", "amount", "amount_minor", "currency", "revision", "decided_at"]}
      fileRow={(row) => [
        row.txn_id, row.verdict, row.classes.join(" "), row.severity, row.amount?.major, row.amount?.minor, row.amount?.currency,
        String(row.revision), row.decided_at,
      ]} // prettier-ignore
      onOpen={(row) => void navigate({ to: "/transactions/$txnId", params: { txnId: row.txn_id } })}
      usualSort="-decided_at"
      facets={<TransactionFacets search={search} onSearch={onSearch} />}
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
        <span className="min-w-0 flex-1 truncate text-ink-2">{row.classes.map(breakClass).join(", ")}</span>
        <span className="text-xs text-ink-2">
          <Instant at={row.decided_at} as="ago" />
        </span>
      </span>
      <span className="flex items-baseline justify-between gap-2">
        <span className="min-w-0 text-xs text-ink-2">
          <TxnId id={row.txn_id} />
        </span>
        <Money amount={row.amount} className="shrink-0 font-medium" />
      </span>
    </div>
  );
}

function TransactionFacets({ search, onSearch }: Pick<ListPageProps<Row>, "search" | "onSearch">) {
  const { api } = useApp();
  const { data, isPlaceholderData } = useQuery({ ...allVerdictsQuery(api, search.currency), placeholderData: keepPreviousData });
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
      isOld={isPlaceholderData}
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
