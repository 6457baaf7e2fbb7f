/** What both lists have in common: pages of rows, facets beside them, what is new above them, chosen rows below. */

import type { InfiniteData, UseInfiniteQueryResult } from "@tanstack/react-query";
import type { ColumnDef } from "@tanstack/react-table";
import { ArrowUp, Copy, FileDown, X } from "lucide-react";
import { useCallback, useMemo, useState, type ReactNode } from "react";
import { useHotkeys } from "react-hotkeys-hook";
import { useLinkState, useMay } from "@/app/context.ts";
import { announce } from "@/components/announcer.tsx";
import { copy } from "@/components/copy.tsx";
import { Empty, Failed, FilteredEmpty, Loading, Stale } from "@/components/states.tsx";
import { Button, Card, PageHeader } from "@/components/ui.tsx";
import { save } from "@/lib/download.ts";
import { count } from "@/lib/money.ts";
import { store, stored } from "@/lib/preferences.ts";
import { plural } from "@/lib/words.ts";
import { csv } from "./csv.ts";
import { chips, isTold, type Search } from "./filters.ts";
import { Grid } from "./grid.tsx";
import { Toolbar } from "./toolbar.tsx";

export interface ListPageProps<Row> {
  title: string;
  about: string;
  list: "mismatches" | "transactions";
  search: Search;
  onSearch: (search: Search) => void;
  query: UseInfiniteQueryResult<InfiniteData<{ items: Row[]; next: string | null }>>;
  columns: (ColumnDef<Row> & { id: string })[];
  idOf: (row: Row) => string;
  card: (row: Row) => ReactNode;
  noteOf: (row: Row) => ReactNode;
  /** A chosen row as cells of a file, under `fileHead`. */
  fileHead: readonly string[];
  fileRow: (row: Row) => (string | null)[];
  onOpen: (row: Row) => void;
  usualSort: string;
  facets: ReactNode;
  aside?: ReactNode;
  fresh: number;
  onShowNew: () => void;
  empty: { title: string; about: string };
}

export function ListPage<Row>(props: ListPageProps<Row>) {
  const { list, search, onSearch, query, columns, fresh, onShowNew } = props;
  const key = `recon.columns.${list}`;
  const [hidden, setHidden] = useState(() => stored<Record<string, boolean>>(key, {}));
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const state = useLinkState();
  useHotkeys("n", onShowNew, { enabled: fresh > 0 });
  const pages = query.data?.pages;
  const rows = useMemo(() => pages?.flatMap((page) => page.items) ?? [], [pages]);
  const { fetchNextPage } = query;
  const onMore = useCallback(() => void fetchNextPage(), [fetchNextPage]);
  const hide = (next: Record<string, boolean>) => {
    store(key, next);
    setHidden(next);
  };
  const sort = search.sort ?? props.usualSort;
  const onSort = (next: string) => {
    if (next.endsWith("amount") && !search.currency) announce("Amounts compare within a currency only: choose a currency first, under “More filters”.");
    else onSearch({ ...search, sort: next });
  };
  const hasFilters = chips(search, "utc").length > 0;
  return (
    <>
      <PageHeader title={props.title} about={props.about}>
        {query.isError && query.data && <Stale updatedAt={query.dataUpdatedAt} afterMs={0} />}
        {state === "reconnecting" && <span className="text-sm text-warn">Reconnecting; what comes meanwhile follows.</span>}
        {props.aside}
      </PageHeader>
      <Toolbar
        list={list}
        search={search}
        onSearch={onSearch}
        columns={columns.map(({ id, header }) => ({ id, label: String(header) }))}
        hidden={hidden}
        onHide={hide}
        facets={props.facets}
      />
      <div className="grid gap-4 xl:grid-cols-[14rem_minmax(0,1fr)]">
        <Card className="hidden self-start xl:block">{props.facets}</Card>
        <div className="relative min-w-0">
          {fresh > 0 && <NewPill fresh={fresh} isExact={isTold(search)} onShow={onShowNew} />}
          <Card bare>
            {query.isError && !query.data ? (
              <Failed error={query.error} onRetry={() => void query.refetch()} />
            ) : !query.data ? (
              <Loading what={props.title.toLowerCase()} rows={14} />
            ) : rows.length ? (
              <Grid
                label={props.title}
                rows={rows}
                columns={columns}
                hidden={hidden}
                idOf={props.idOf}
                card={props.card}
                noteOf={props.noteOf}
                chosen={chosen}
                onChoose={setChosen}
                onOpen={props.onOpen}
                sort={sort}
                onSort={onSort}
                hasMore={query.hasNextPage}
                isReading={query.isFetchingNextPage}
                onMore={onMore}
                listKey={JSON.stringify(search)}
              />
            ) : hasFilters ? (
              <FilteredEmpty onReset={() => onSearch({ state: search.state })} />
            ) : (
              <Empty title={props.empty.title}>{props.empty.about}</Empty>
            )}
          </Card>
          {chosen.size > 0 && <Chosen {...props} rows={rows} chosen={chosen} onClear={() => setChosen(new Set())} />}
        </div>
      </div>
    </>
  );
}

function NewPill({ fresh, isExact, onShow }: { fresh: number; isExact: boolean; onShow: () => void }) {
  return (
    <div className="pointer-events-none absolute inset-x-0 top-12 z-20 flex justify-center">
      <button
        type="button"
        onClick={onShow}
        className="figures pointer-events-auto flex h-8 items-center gap-1.5 rounded-full bg-accent px-4 text-sm font-medium text-accent-ink shadow-lift hover:brightness-110"
      >
        <ArrowUp aria-hidden className="size-4" />
        {isExact ? `${count(fresh)} new` : "There is news that may fit"} <span className="sr-only">: show</span>
      </button>
    </div>
  );
}

interface ChosenProps<Row> extends ListPageProps<Row> {
  rows: Row[];
  chosen: ReadonlySet<string>;
  onClear: () => void;
}

function Chosen<Row>({ list, rows, chosen, idOf, fileHead, fileRow, onClear }: ChosenProps<Row>) {
  const mayExport = useMay("export");
  const picked = rows.filter((row) => chosen.has(idOf(row)));
  const copyIds = () => copy(picked.map(idOf).join("\n"), () => announce(`${plural(picked.length, "id")} copied.`));
  return (
    <div role="region" aria-label="Chosen rows" className="mt-3 flex flex-wrap items-center gap-2 rounded-lg border border-line bg-raised px-4 py-2 text-sm shadow-lift">
      <span className="figures font-medium">{plural(picked.length, "row")} chosen</span>
      <div className="ml-auto flex flex-wrap gap-2">
        <Button icon={Copy} onClick={copyIds}>
          Copy ids
        </Button>
        {mayExport && (
          <Button icon={FileDown} onClick={() => save(new Blob([csv(fileHead, picked.map(fileRow))], { type: "text/csv" }), `${list}-chosen.csv`)}>
            Export these
          </Button>
        )}
        <Button look="quiet" icon={X} shortcut="Esc" onClick={onClear}>
          Clear
        </Button>
      </div>
    </div>
  );
}
