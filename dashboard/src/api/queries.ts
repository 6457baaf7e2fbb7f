/** What is asked by more than one page. */

import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { dataOf, type Api } from "./client.ts";

/** The three periods of charts. */
export const PERIODS = { "1h": 3_600, "24h": 86_400, "7d": 604_800 } as const;
export type PeriodName = keyof typeof PERIODS;

/** The limiter allows three of /mismatches/stats in ten seconds for all tabs of an address: three of them ask once each, whenever they began. */
const STATS_MS = 15_000;
const STATUS_MS = 10_000;

const EVER = "1970-01-01T00:00:00Z";

function since(period: PeriodName): string {
  return new Date(Date.now() - PERIODS[period] * 1000).toISOString();
}

export const statusQuery = (api: Api) =>
  queryOptions({
    queryKey: ["status"],
    queryFn: ({ signal }) => dataOf(api.GET("/status", { signal })),
    refetchInterval: STATUS_MS,
  });

export const transactionStatsQuery = (api: Api, period: PeriodName) =>
  queryOptions({
    queryKey: ["transactions", "stats", period],
    queryFn: ({ signal }) => dataOf(api.GET("/transactions/stats", { signal, params: { query: { since: since(period) } } })),
    refetchInterval: STATS_MS,
    placeholderData: keepPreviousData,
  });

/** Verdicts of all times: what every transaction is now. */
export const allVerdictsQuery = (api: Api, currency?: string) =>
  queryOptions({
    queryKey: ["transactions", "stats", "ever", currency],
    queryFn: ({ signal }) => dataOf(api.GET("/transactions/stats", { signal, params: { query: { since: EVER, currency } } })),
    refetchInterval: STATS_MS,
  });

/** What is open now, whenever it was opened, and what the period has. */
export const mismatchStatsQuery = (api: Api, period: PeriodName) =>
  queryOptions({
    queryKey: ["mismatches", "stats", period],
    queryFn: ({ signal }) => dataOf(api.GET("/mismatches/stats", { signal, params: { query: { since: since(period) } } })),
    refetchInterval: STATS_MS,
    placeholderData: keepPreviousData,
  });
