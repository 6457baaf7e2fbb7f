/** A list that is read page by page and followed: rows never move by themselves, what has come since is told beside them. */

import { keepPreviousData, useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { useChannel } from "@/app/context.ts";
import type { Items } from "@/live/messages.ts";
import { liveFilter, type Search } from "./filters.ts";
import { news, NOTHING, recent, type Updates } from "./updates.ts";

/** Rows that are asked for at once. */
export const PAGE = 200;

/** What was published is stored by then, as a rule. */
const STORED_MS = 2_000;

/** Of what is read beside a list, and the beginning of the key of the list itself. */
export const keyOf = (name: "mismatches" | "transactions", search: Search) => [name, "list", search];

interface Has {
  has: (id: string) => boolean;
}

interface ListOptions<Row, Name extends "mismatches" | "results", Shown extends Has> {
  /** Path of the API. */
  name: "mismatches" | "transactions";
  search: Search;
  read: (after: string | undefined, signal: AbortSignal) => Promise<{ items: Row[]; next: string | null }>;
  channel: Name;
  /** What the socket's items are held against: made anew with each page only, as thousands of rows are painted with every batch. */
  shownOf: (rows: readonly Row[]) => Shown;
  /** `now` in epoch milliseconds. */
  add: (updates: Updates, items: readonly Items[Name][], shown: Shown, now: number) => Updates;
}

export function useList<Row, Name extends "mismatches" | "results", Shown extends Has>({ name, search, read, channel, shownOf, add }: ListOptions<Row, Name, Shown>) {
  const queries = useQueryClient();
  // each reading has its own rows: those before it stay in sight until it is done
  const [reading, setReading] = useState(0);
  const queryKey = [...keyOf(name, search), reading];
  const query = useInfiniteQuery({
    queryKey,
    queryFn: async ({ signal, pageParam }) => ({ ...(await read(pageParam, signal)), readAt: Date.now() }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    // each look is in the audit trail, and rows do not jump by themselves
    refetchOnWindowFocus: false,
    staleTime: Infinity,
    gcTime: 0,
    placeholderData: keepPreviousData,
  });
  const pages = query.data?.pages;
  const rows = useMemo(() => pages?.flatMap((page) => page.items) ?? [], [pages]);
  // rows of another list or of an earlier reading, until those that were asked for are there
  const isOld = query.isPlaceholderData;
  const shown = useMemo(() => shownOf(isOld ? [] : rows), [rows, shownOf, isOld]);

  const searchKey = JSON.stringify(search);
  const listKey = `${searchKey} ${reading}`;
  const [followed, setFollowed] = useState({ searchKey, updates: NOTHING });
  // another list begins with nothing new, by whatever way one came to it
  const updates = followed.searchKey === searchKey ? followed.updates : NOTHING;
  const change = (next: (old: Updates) => Updates) =>
    setFollowed((old) => ({ searchKey, updates: next(old.searchKey === searchKey ? old.updates : NOTHING) }));
  const doubt = () => change((old) => ({ ...old, isDoubtful: true }));
  const showNew = () => {
    change((old) => recent(old, Date.now()));
    setReading(reading + 1);
    void queries.invalidateQueries({ queryKey: [...keyOf(name, search), "facets"] });
  };

  const [unfollowed, setUnfollowed] = useState<string>();
  useChannel(channel, liveFilter(search), {
    onItems: (items) => change((old) => add(old, items, shown, Date.now())),
    onReload: doubt,
    onBegin: () => pages && !isOld && setUnfollowed(listKey),
  });
  /** Whether the rows that were read before the list was followed still stand as they did. */
  const compare = async (signal: AbortSignal) => {
    const first = pages?.length === 1 ? await read(undefined, signal).catch(() => undefined) : undefined;
    if (!signal.aborted && JSON.stringify(first?.items) !== JSON.stringify(rows)) doubt();
  };
  const newest = useRef(compare);
  useEffect(() => {
    newest.current = compare;
  });
  useEffect(() => {
    if (unfollowed !== listKey) return undefined;
    const running = new AbortController();
    const timer = setTimeout(() => void newest.current(running.signal), STORED_MS);
    return () => {
      clearTimeout(timer);
      running.abort();
    };
  }, [unfollowed, listKey]);

  const above = useMemo(() => news(updates, shown, !query.hasNextPage), [updates, shown, query.hasNextPage]);
  return { query, rows, isOld, readAt: pages?.[0]?.readAt, updates, above, showNew, listKey };
}

export type List<Row> = Pick<
  ReturnType<typeof useList<Row, "results", Has>>,
  "query" | "rows" | "isOld" | "readAt" | "updates" | "above" | "showNew" | "listKey"
>;
