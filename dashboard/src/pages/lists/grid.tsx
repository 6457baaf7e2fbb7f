/** A list of any length: only the rows in sight exist, further pages are read as one comes near, and the keyboard does it all. */

import { flexRender, getCoreRowModel, useReactTable, type ColumnDef, type RowData } from "@tanstack/react-table";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { useHotkeys } from "react-hotkeys-hook";
import { classes } from "@/components/ui.tsx";
import { useIsNarrow } from "@/lib/narrow.ts";
import { usePreferences } from "@/lib/preferences.ts";
import { plural } from "@/lib/words.ts";

declare module "@tanstack/react-table" {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars -- the library's own parameters
  interface ColumnMeta<TData extends RowData, TValue> {
    /** A track of a CSS grid. */
    width: string;
    isNumber?: boolean;
    /** The API's orders by it: ascending, descending. */
    sorts?: [string, string];
  }
}

const HEIGHTS = { comfortable: 44, compact: 32 };
const CARD_HEIGHT = 108;
/** So many rows before the end, the next page is asked for. */
const AHEAD = 60;
/** Beyond them people filter or export; the browser keeps what it has read. */
export const ROWS_MAX = 20_000;

interface GridProps<Row> {
  label: string;
  rows: readonly Row[];
  columns: ColumnDef<Row>[];
  hidden: Record<string, boolean>;
  idOf: (row: Row) => string;
  card: (row: Row) => ReactNode;
  /** What a row has become since it was read; shown on it, without moving it. */
  noteOf: (row: Row) => ReactNode;
  chosen: ReadonlySet<string>;
  onChoose: (ids: ReadonlySet<string>) => void;
  onOpen: (row: Row) => void;
  sort: string;
  onSort: (sort: string) => void;
  hasMore: boolean;
  isReading: boolean;
  onMore: () => void;
  /** Changes when the list is another one: it begins at the top. */
  listKey: string;
}

export function Grid<Row>(props: GridProps<Row>) {
  const { rows, columns, hidden, idOf, chosen, onChoose, onOpen, hasMore, isReading, onMore, listKey } = props;
  const { density } = usePreferences();
  const isNarrow = useIsNarrow();
  const scroller = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0);
  const [anchor, setAnchor] = useState(0);
  const height = isNarrow ? CARD_HEIGHT : HEIGHTS[density];

  const table = useReactTable({
    data: rows as Row[],
    columns,
    state: { columnVisibility: Object.fromEntries(Object.entries(hidden).map(([id, isHidden]) => [id, !isHidden])) },
    getRowId: idOf,
    getCoreRowModel: getCoreRowModel(),
    enableSorting: false,
  });
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => height,
    overscan: 12,
  });
  useEffect(() => virtual.measure(), [virtual, height]);
  useEffect(() => {
    setActive(0);
    scroller.current?.scrollTo({ top: 0 });
  }, [listKey]);

  const seen = virtual.getVirtualItems();
  const last = seen.at(-1)?.index ?? 0;
  useEffect(() => {
    if (hasMore && !isReading && rows.length < ROWS_MAX && last >= rows.length - AHEAD) onMore();
  }, [hasMore, isReading, rows.length, last, onMore]);

  const go = (to: number) => {
    const next = Math.max(0, Math.min(rows.length - 1, to));
    setActive(next);
    virtual.scrollToIndex(next, { align: "auto" });
    scroller.current?.focus({ preventScroll: true });
  };
  const choose = (index: number, isRange: boolean) => {
    const next = new Set(chosen);
    if (isRange) {
      for (const row of rows.slice(Math.min(anchor, index), Math.max(anchor, index) + 1)) next.add(idOf(row));
    } else {
      const id = rows[index] && idOf(rows[index]);
      if (id !== undefined && !next.delete(id)) next.add(id);
    }
    setAnchor(index);
    onChoose(next);
  };
  // from anywhere on the page
  useHotkeys("j", () => go(active + 1));
  useHotkeys("k", () => go(active - 1));
  useHotkeys("x", () => choose(active, false));
  useHotkeys("shift+x", () => choose(active, true));

  const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? height) / height) - 2);
  const onKeyDown = (event: KeyboardEvent) => {
    const moves: Record<string, number> = {
      ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: rows.length - 1,
    }; // prettier-ignore
    const to = moves[event.key];
    const row = rows[active];
    if (to !== undefined) go(to);
    else if (event.key === "Enter" && row && event.target === event.currentTarget) onOpen(row);
    else if (event.key === " ") choose(active, event.shiftKey);
    else if (event.key === "Escape" && chosen.size) onChoose(new Set());
    else return;
    event.preventDefault();
  };

  // a window that is too small for the columns scrolls sideways within the list
  const tracks = `2.25rem ${table
    .getVisibleLeafColumns()
    .map((column) => column.columnDef.meta?.width ?? "1fr")
    .join(" ")}`;
  return (
    <>
      <div
        ref={scroller}
        role="grid"
        aria-label={props.label}
        aria-multiselectable
        aria-rowcount={hasMore ? -1 : rows.length + 1}
        aria-activedescendant={rows.length ? `row-${active}` : undefined}
        tabIndex={0}
        onKeyDown={onKeyDown}
        className="group/grid h-[calc(100dvh-18rem)] min-h-96 overflow-auto focus-visible:outline-offset-[-2px]"
      >
        {!isNarrow && <Header table={table} tracks={tracks} sort={props.sort} onSort={props.onSort} />}
        <div role="rowgroup" className="relative" style={{ height: virtual.getTotalSize() }}>
          {seen.map(({ index, start }) => {
            const row = table.getRowModel().rows[index];
            if (!row) return null;
            const isChosen = chosen.has(row.id);
            const note = props.noteOf(row.original);
            return (
              // the grid itself has the keyboard; a click does the same as Enter
              // eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus
              <div
                key={row.id}
                id={`row-${index}`}
                role="row"
                aria-rowindex={index + 2}
                aria-selected={isChosen}
                onClick={(event) => {
                  setActive(index);
                  if (event.shiftKey) choose(index, true);
                  else onOpen(row.original);
                }}
                className={classes(
                  "absolute inset-x-0 grid cursor-pointer items-center border-b border-line text-sm hover:bg-hover",
                  isChosen && "bg-chosen",
                  index === active && "group-focus-visible/grid:shadow-[inset_3px_0_0_var(--accent)]",
                  index === active && "group-focus-within/grid:shadow-[inset_3px_0_0_var(--accent)]",
                )}
                style={{ height, transform: `translateY(${start}px)`, gridTemplateColumns: isNarrow ? "2.25rem 1fr" : tracks }}
              >
                <Check isChosen={isChosen} label={row.id} onChoose={(isRange) => choose(index, isRange)} />
                {isNarrow ? (
                  <div role="gridcell" className="min-w-0 py-2 pr-3">
                    {props.card(row.original)}
                    {note}
                  </div>
                ) : (
                  row.getVisibleCells().map((cell, at) => (
                    <div
                      key={cell.id}
                      role="gridcell"
                      className={classes(
                        "flex min-w-0 items-center gap-2 truncate px-2.5",
                        cell.column.columnDef.meta?.isNumber && "justify-end",
                      )}
                    >
                      <span className="truncate">{flexRender(cell.column.columnDef.cell, cell.getContext())}</span>
                      {at === 1 && note}
                    </div>
                  ))
                )}
              </div>
            );
          })}
        </div>
      </div>
      <p role="status" className="border-t border-line px-4 py-2.5 text-sm text-ink-2">
        {isReading
          ? "Reading more…"
          : rows.length >= ROWS_MAX
            ? `The first ${plural(rows.length, "row")} are shown. Narrow the filters, or export all.`
            : !hasMore && `${plural(rows.length, "row")}: that is all.`}
      </p>
    </>
  );
}

function Check({ isChosen, label, onChoose }: { isChosen: boolean; label: string; onChoose: (isRange: boolean) => void }) {
  return (
    <div role="gridcell" className="flex justify-center">
      <input
        type="checkbox"
        // x and the space bar do it from the keyboard, on the row that is active
        tabIndex={-1}
        checked={isChosen}
        aria-label={`Choose ${label}`}
        className="size-4 accent-(--accent)"
        onChange={() => undefined}
        onClick={(event) => {
          event.stopPropagation();
          onChoose(event.shiftKey);
        }}
      />
    </div>
  );
}

interface HeaderProps<Row> {
  table: ReturnType<typeof useReactTable<Row>>;
  tracks: string;
  sort: string;
  onSort: (sort: string) => void;
}

function Header<Row>({ table, tracks, sort, onSort }: HeaderProps<Row>) {
  return (
    <div role="rowgroup" className="sticky top-0 z-10 bg-surface shadow-[0_1px_0_var(--line)]">
      <div
        role="row"
        aria-rowindex={1}
        className="grid h-10 items-center text-xs font-medium text-ink-2"
        style={{ gridTemplateColumns: tracks }}
      >
        <div role="columnheader">
          <span className="sr-only">Choose</span>
        </div>
        {table.getLeafHeaders().map((header) => {
          const meta = header.column.columnDef.meta;
          const [ascending, descending] = meta?.sorts ?? [];
          const isSorted = sort === ascending ? "ascending" : sort === descending ? "descending" : "none";
          const title = flexRender(header.column.columnDef.header, header.getContext());
          return (
            <div
              key={header.id}
              role="columnheader"
              aria-sort={descending ? isSorted : undefined}
              className={classes("truncate px-2.5", meta?.isNumber && "text-right")}
            >
              {ascending && descending ? (
                <button
                  type="button"
                  className="rounded hover:text-ink hover:underline"
                  onClick={() => onSort(sort === descending ? ascending : descending)}
                >
                  {title} <span aria-hidden>{isSorted === "ascending" ? "↑" : isSorted === "descending" ? "↓" : "↕"}</span>
                </button>
              ) : (
                title
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}
