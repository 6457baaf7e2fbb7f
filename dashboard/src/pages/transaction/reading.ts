/** Reads one transaction, and reads it again until it is as new as what the live link has told: the sink stores a revision moments after it is told. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ApiError, dataOf } from "@/api/client.ts";
import { useApp, useChannel } from "@/app/context.ts";

/** The live link may be away, and a transaction that waits for legs is soon another. */
const PENDING_MS = 15_000;
/** Half a minute in all; each look is in the audit trail. */
export const WAITS_MS = [0, 500, 1_000, 2_000, 4_000, 8_000, 16_000];
/** A link from the live page may be quicker than the sink. With the usual waits, a quarter of a minute. */
const MISSING_RETRIES = 4;

function isMissing(error: Error | null): boolean {
  return error instanceof ApiError && error.status === 404;
}

export function useTransaction(txnId: string) {
  const { api } = useApp();
  const queries = useQueryClient();
  const usual = queries.getDefaultOptions().queries?.retry;
  const query = useQuery({
    queryKey: ["transaction", txnId],
    queryFn: ({ signal }) => dataOf(api.GET("/transactions/{txn_id}", { signal, params: { path: { txn_id: txnId } } })),
    retry: (failures, error) => (isMissing(error) ? failures < MISSING_RETRIES : typeof usual === "function" && usual(failures, error)),
    refetchInterval: ({ state }) => (state.data?.verdict === "PENDING" ? PENDING_MS : false),
    // each look is in the audit trail: not at every turn of the window
    refetchOnWindowFocus: false,
  });
  const { data, refetch } = query;

  const [told, setTold] = useState({ txnId, revision: 0, attempts: 0 });
  const known = told.txnId === txnId ? told.revision : 0;
  useChannel("results", { txn_id: [txnId] }, {
    onItems(items) {
      const newest = Math.max(...items.filter((item) => item.txn_id === txnId).map((item) => item.revision));
      if (newest > known) setTold({ txnId, revision: newest, attempts: 0 });
    },
    onReload: () => void refetch(),
  }); // prettier-ignore

  const isBehind = known > (data?.revision ?? 0);
  const wait = isBehind ? WAITS_MS[told.attempts] : undefined;
  useEffect(() => {
    if (wait === undefined) return undefined;
    const count = () => setTold((now) => (now.txnId === txnId && now.revision === known ? { ...now, attempts: now.attempts + 1 } : now));
    const timer = setTimeout(() => void refetch().then(count), wait);
    return () => clearTimeout(timer);
  }, [wait, known, txnId, refetch]);

  return {
    query,
    /** The revision that was told and could not be read yet. */
    awaited: isBehind ? known : null,
    /** It is asked for again by itself. */
    isAsking: wait !== undefined,
    /** The server does not have it, yet, and is asked again by itself. */
    isAwaited: query.isPending && isMissing(query.failureReason),
    askAgain: () => setTold((now) => ({ ...now, attempts: 0 })),
  };
}
