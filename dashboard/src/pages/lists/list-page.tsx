/** What both lists have in common: pages of rows, facets beside them, what is new above them, chosen rows below. */

import type { ColumnDef } from "@tanstack/react-table";
import { ArrowUp, Copy, FileDown, X } from "lucide-react";
import { useCallback, useRef, useState, type ReactNode } from "react";
import { useLinkState, useMay } from "@/app/context.ts";
import { useShortcut } from "@/app/keyboard.tsx";
import { announce } from "@/components/announcer.tsx";
import { copy } from "@/components/copy.tsx";
import { Empty, Failed, FilteredEmpty, Loading, Stale } from "@/components/states.tsx";
import { Button, Card, PageHeader } from "@/components/ui.tsx";
import { save } from "@/lib/download.ts";
import { useNow } from "@/lib/clock.ts";
import { count } from "@/lib/money.ts";
import { store, stored } from "@/lib/preferences.ts";
import { duration } from "@/lib/time.ts";
import { plural } from "@/lib/words.ts";
import { csv } from "./csv.ts";
import { chips, isTold, parameters, type Search } from "./filters.ts";
import { Grid } from "./grid.tsx";
import type { List } from "./list.ts";
import { Toolbar } from "./toolbar.tsx";
import { IDS_MAX } from "./updates.ts";

export interface ListPageProps<Row> {
  title: string;
  about: string;
  /** Path of the API, and the name of what is kept about it in the browser. */
  name: "mismatches" | "transactions";
  list: List<Row>;
  search: Search;
  onSearch: (search: Search) => void;
  columns: (ColumnDef<Row> & { id: string })[];
  idOf: (row: Row) => string;
  card: (row: Row) => ReactNode;
  noteOf: (row: Row) => ReactNode;
  /** A chosen row as cells of a file, under `fileHead`. */
  fileHead: readonly string[];
  fileRow: (row: Row) => (string | null | undefined)[];
  onOpen: (row: Row) => void;
  usualSort: string;
  facets: ReactNode;
  aside?: ReactNode;
  empty: { title: string; about: string };
}

const NONE: ReadonlySet<string> = new Set();

export function ListPage<Row>(props: ListPageProps<Row>) {
  const { name, search, onSearch, columns } = props;
  const { query, rows, isOld, readAt, updates, above, showNew, listKey } = props.list;
  const hasNews = !isOld && (updates.isDoubtful || above.number > 0);
  const key = `recon.columns.${name}`;
  const [hidden, setHidden] = useState(() => stored<Record<string, boolean>>(key, {}));
  const [choice, setChoice] = useState({ listKey, ids: NONE });
  // rows of another list are not chosen in this one, and may not be among its rows
  const chosen = choice.listKey === listKey ? choice.ids : NONE;
  const setChosen = (ids: ReadonlySet<string>) => setChoice({ listKey, ids });
  const frame = useRef<HTMLDivElement>(null);
  const focusList = useCallback(() => (frame.current?.querySelector<HTMLElement>("[role=grid]") ?? frame.current)?.focus(), []);
  const state = useLinkState();
  const show = () => {
    showNew();
    focusList();
  };
  useShortcut("n", show, { enabled: hasNews });
  const { fetchNextPage } = query;
  const onMore = useCallback(() => void fetchNextPage(), [fetchNextPage]);
  const hide = (next: Record<string, boolean>) => {
    store(key, next);
    setHidden(next);
  };
  // as the API is asked: an order or a limit that it would refuse does not hold
  const held = parameters(search);
  const sort = held.sort ?? props.usualSort;
  const onSort = (next: string) => {
    if (next.endsWith("amount") && !search.currency) announce("Amounts compare within a currency only: choose a currency first, under “More filters”.");
    else onSearch({ ...search, sort: next });
  };
  const hasFilters = chips(search, "utc").length > 0;
  return (
    <>
      <PageHeader title={props.title} about={props.about}>
        {query.isError && readAt !== undefined && <Stale updatedAt={readAt} afterMs={0} />}
        {state === "reconnecting" && <span className="text-sm text-warn">Reconnecting; what comes meanwhile follows.</span>}
        {hasNews && <NewPill text={updates.isDoubtful ? "The list may have changed" : newsText(above, isTold(held))} onShow={show} />}
        {props.aside}
      </PageHeader>
      <Toolbar
        list={name}
        search={search}
        onSearch={onSearch}
        columns={columns.map(({ id, header }) => ({ id, label: String(header) }))}
        hidden={hidden}
        onHide={hide}
        facets={props.facets}
        onFocusList={focusList}
      />
      <div className="grid gap-4 xl:grid-cols-[13rem_minmax(0,1fr)]">
        <Card className="hidden self-start xl:block">{props.facets}</Card>
        <div ref={frame} tabIndex={-1} className="min-w-0 outline-none">
          <Card bare>
            {query.isError && !query.data ? (
              <Failed error={query.error} onRetry={() => void query.refetch()} />
            ) : !query.data || (isOld && !rows.length) ? (
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
                hasFailed={query.isFetchNextPageError}
                onMore={onMore}
                isOld={isOld}
                aside={state !== "live" && readAt !== undefined && <Age readAt={readAt} />}
                listKey={listKey}
              />
            ) : hasFilters ? (
              <FilteredEmpty
                onReset={() => {
                  onSearch({ state: search.state });
                  focusList();
                }}
              />
            ) : (
              <Empty title={props.empty.title}>{props.empty.about}</Empty>
            )}
          </Card>
          {chosen.size > 0 && (
            <Chosen
              {...props}
              chosen={chosen}
              onClear={() => {
                setChosen(NONE);
                focusList();
              }}
            />
          )}
        </div>
      </div>
    </>
  );
}

function newsText({ number, isExact }: { number: number; isExact: boolean }, isTold: boolean): string {
  if (!isExact || !isTold) return "There is news that may fit";
  return number < IDS_MAX ? `${count(number)} new` : `${count(IDS_MAX)}+ new`;
}

/** Where no link tells what has changed since. */
function Age({ readAt }: { readAt: number }) {
  return <span className="text-ink-3">Read {duration((Math.max(useNow(), readAt) - readAt) / 1000)} ago.</span>;
}

/** Above the list, where it hides no row and moves none. */
function NewPill({ text, onShow }: { text: string; onShow: () => void }) {
  return (
    <Button look="primary" icon={ArrowUp} shortcut="n" className="figures !rounded-full" onClick={onShow}>
      {text} <span className="sr-only">: show</span>
    </Button>
  );
}

interface ChosenProps<Row> extends ListPageProps<Row> {
  chosen: ReadonlySet<string>;
  onClear: () => void;
}

function Chosen<Row>({ name, list: { rows }, chosen, idOf, fileHead, fileRow, onClear }: ChosenProps<Row>) {
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
          <Button icon={FileDown} onClick={() => save(new Blob([csv(fileHead, picked.map(fileRow))], { type: "text/csv" }), `${name}-chosen.csv`)}>
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
