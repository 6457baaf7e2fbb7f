/** A list of any length: only the rows in sight exist, further pages are read as one comes near, and the keyboard does it all. */

import { flexRender, getCoreRowModel, useReactTable, type ColumnDef, type Row as TableRow, type RowData } from "@tanstack/react-table";
import { defaultRangeExtractor, useVirtualizer, type Range } from "@tanstack/react-virtual";
import { memo, useCallback, useEffect, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { useShortcut } from "@/app/keyboard.tsx";
import { classes } from "@/components/ui.tsx";
import { useIsNarrow } from "@/lib/narrow.ts";
import { usePreferences } from "@/lib/preferences.ts";
import { plural } from "@/lib/words.ts";
import { track } from "./tracks.ts";

declare module "@tanstack/react-table" {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars -- the library's own parameters
  interface ColumnMeta<TData extends RowData, TValue> {
    /** A track of a CSS grid. */
    width: string;
    isNumber?: boolean;
    /** The amount in a cell as it is written, where it is one: the column is as wide as the longest. */
    figureOf?: (row: TData) => string | undefined;
    /** The API's orders by it: ascending, descending. */
    sorts?: [string, string];
  }
}

const HEIGHTS = { comfortable: 44, compact: 32 };
const CARD_HEIGHT = 64;
const NARROW_TRACKS = "2.25rem 1fr";
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
  /** Whether the last attempt to read more failed; it is tried again when somebody says so. */
  hasFailed: boolean;
  onMore: () => void;
  /** Whether these are the rows of another list, or of an earlier reading: they are looked at until those that were asked for are there. */
  isOld: boolean;
  /** Beside what the list says of itself. */
  aside: ReactNode;
  /** Changes when the list is another one: it begins at the top. */
  listKey: string;
}

export function Grid<Row>(props: GridProps<Row>) {
  const { rows, columns, hidden, idOf, chosen, onChoose, onOpen, hasMore, isReading, hasFailed, onMore, isOld, listKey } = props;
  const { density } = usePreferences();
  const isNarrow = useIsNarrow();
  const scroller = useRef<HTMLDivElement>(null);
  const [wanted, setActive] = useState(0);
  const [anchor, setAnchor] = useState(0);
  // the list may have become shorter since
  const active = Math.max(0, Math.min(wanted, rows.length - 1));
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
    rangeExtractor: useCallback((range: Range) => withActive(defaultRangeExtractor(range), active, rows.length), [active, rows.length]),
  });
  useEffect(() => virtual.measure(), [virtual, height]);
  useEffect(() => {
    setActive(0);
    scroller.current?.scrollTo({ top: 0 });
  }, [listKey]);

  const seen = virtual.getVirtualItems();
  const last = virtual.range?.endIndex ?? 0;
  useEffect(() => {
    if (hasMore && !isReading && !hasFailed && !isOld && rows.length < ROWS_MAX && last >= rows.length - AHEAD) onMore();
  }, [hasMore, isReading, hasFailed, isOld, rows.length, last, onMore]);

  const go = (to: number) => {
    const next = Math.max(0, Math.min(rows.length - 1, to));
    setActive(next);
    virtual.scrollToIndex(next, { align: "auto" });
    scroller.current?.focus({ preventScroll: true });
  };
  const choose = (index: number, isRange: boolean) => {
    if (isOld) return;
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
  const pick = (index: number, how: Pick) => {
    const row = rows[index];
    if (how !== "check") setActive(index);
    if (how === "range") choose(index, true);
    else if (how === "check") choose(index, false);
    else if (row) onOpen(row);
  };
  const newest = useRef(pick);
  useEffect(() => {
    newest.current = pick;
  });
  // lines are painted anew where something of them has changed, and this never does
  const onPick = useCallback((index: number, how: Pick) => newest.current(index, how), []);
  // from anywhere on the page
  useShortcut("j", () => go(active + 1));
  useShortcut("k", () => go(active - 1));
  useShortcut("x", () => choose(active, false));
  useShortcut("shift+x", () => choose(active, true));

  const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? height) / height) - 2);
  const onKeyDown = (event: KeyboardEvent) => {
    const moves: Record<string, number> = {
      ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: rows.length - 1,
    }; // prettier-ignore
    const to = moves[event.key];
    const row = rows[active];
    if (to !== undefined) go(to);
    else if (event.key === "Enter" && row && event.target === event.currentTarget) onOpen(row);
    else if (event.key === " " && event.target === event.currentTarget) choose(active, event.shiftKey);
    else if (event.key === "Escape" && chosen.size) onChoose(new Set());
    else return;
    event.preventDefault();
  };

  // a window that is too small for the columns scrolls sideways within the list
  const shownColumns = table.getVisibleLeafColumns();
  const tracks = useMemo(
    () =>
      ["2.25rem", ...shownColumns.map(({ columnDef: { meta } }) => track(meta?.width ?? "1fr", rows.flatMap((row) => meta?.figureOf?.(row) ?? [])))].join(" "),
    [shownColumns, rows],
  );
  return (
    <>
      <div
        ref={scroller}
        role="grid"
        aria-label={props.label}
        aria-multiselectable
        aria-busy={isOld}
        aria-rowcount={hasMore ? -1 : rows.length + 1}
        aria-activedescendant={rows.length ? `row-${active}` : undefined}
        tabIndex={0}
        onKeyDown={onKeyDown}
        className={classes(
          "group/grid h-[calc(100dvh-16.5rem)] min-h-96 overflow-auto transition-opacity focus-visible:outline-offset-[-2px]",
          isOld && "opacity-50",
        )}
      >
        {!isNarrow && <Header table={table} tracks={tracks} sort={props.sort} onSort={props.onSort} />}
        <div role="rowgroup" className="relative" style={{ height: virtual.getTotalSize() }}>
          {seen.map(({ index, start }) => {
            const row = table.getRowModel().rows[index];
            return (
              row && (
                <Line
                  key={row.id}
                  row={row}
                  index={index}
                  start={start}
                  height={height}
                  tracks={isNarrow ? NARROW_TRACKS : tracks}
                  card={isNarrow ? props.card : undefined}
                  note={props.noteOf(row.original)}
                  isChosen={chosen.has(row.id)}
                  isActive={index === active}
                  onPick={onPick}
                />
              )
            );
          })}
        </div>
      </div>
      <div className="figures flex flex-wrap gap-x-2 border-t border-line px-4 py-2 text-xs text-ink-2">
        <p role="status">
          {isOld
            ? "Reading…"
            : isReading
              ? "Reading more…"
              : rows.length >= ROWS_MAX
                ? `The first ${plural(rows.length, "row")} are shown. Narrow the filters, or export all.`
                : hasFailed
                  ? `${plural(rows.length, "row")} read; reading more failed.`
                  : hasMore
                    ? `${plural(rows.length, "row")} read, more as you scroll.`
                    : `${plural(rows.length, "row")}: that is all.`}
          {hasFailed && !isReading && (
            <button type="button" className="ml-2 font-medium text-accent underline underline-offset-2" onClick={onMore}>
              Try again
            </button>
          )}
        </p>
        {props.aside}
      </div>
    </>
  );
}

/** The row that has the keyboard is always there, wherever the list is scrolled to: the grid names it. */
export function withActive(indexes: number[], active: number, count: number): number[] {
  if (indexes.includes(active) || active >= count) return indexes;
  return [...indexes, active].sort((one, other) => one - other);
}

/** What a click on a line means. */
type Pick = "open" | "check" | "range";

interface LineProps<Row> {
  row: TableRow<Row>;
  index: number;
  start: number;
  height: number;
  tracks: string;
  /** Where the window is too narrow for columns. */
  card: ((row: Row) => ReactNode) | undefined;
  note: ReactNode;
  isChosen: boolean;
  isActive: boolean;
  onPick: (index: number, how: Pick) => void;
}

/** While updates come, the page is painted several times a second, and its lines only where they say something else. */
const Line = memo(function Line<Row>({ row, index, start, height, tracks, card, note, isChosen, isActive, onPick }: LineProps<Row>) {
  return (
    // the grid itself has the keyboard; a click does the same as Enter
    // eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus
    <div
      id={`row-${index}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isChosen}
      onClick={(event) => onPick(index, event.shiftKey ? "range" : "open")}
      className={classes(
        "absolute inset-x-0 grid cursor-pointer items-center border-b border-line text-sm hover:bg-hover",
        isChosen && "bg-chosen",
        isActive && "group-focus-visible/grid:shadow-[inset_3px_0_0_var(--accent)]",
        isActive && "group-focus-within/grid:shadow-[inset_3px_0_0_var(--accent)]",
      )}
      style={{ height, transform: `translateY(${start}px)`, gridTemplateColumns: tracks }}
    >
      <Check isChosen={isChosen} label={row.id} onChoose={(isRange) => onPick(index, isRange ? "range" : "check")} />
      {card ? (
        <div role="gridcell" className="flex min-w-0 items-center gap-2 py-2 pr-3">
          <div className="min-w-0 flex-1">{card(row.original)}</div>
          {note}
        </div>
      ) : (
        row.getVisibleCells().map((cell) => (
          <div
            key={cell.id}
            role="gridcell"
            className={classes("flex min-w-0 items-center gap-2 px-2", cell.column.columnDef.meta?.isNumber ? "justify-end whitespace-nowrap" : "truncate")}
          >
            <span className={cell.column.columnDef.meta?.isNumber ? "shrink-0" : "min-w-0 truncate"}>{flexRender(cell.column.columnDef.cell, cell.getContext())}</span>
            {cell.column.id === "txn_id" && note}
          </div>
        ))
      )}
    </div>
  );
}) as <Row>(props: LineProps<Row>) => ReactNode;

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
        // of the size of the lines, whose digits the tracks are counted in; the words are smaller
        className="grid h-10 items-center text-sm text-ink-2"
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
              className={classes("truncate px-2 text-xs font-medium", meta?.isNumber && "text-right")}
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
