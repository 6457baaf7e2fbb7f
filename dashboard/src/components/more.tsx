import type { UseInfiniteQueryResult } from "@tanstack/react-query";
import { Button } from "./ui.tsx";

/** Under a list that is read page by page. */
export function More({ query, shown }: { query: Pick<UseInfiniteQueryResult, "hasNextPage" | "isFetchingNextPage" | "fetchNextPage">; shown: number }) {
  return (
    <div className="flex items-center gap-3 border-t border-line px-4 py-3 text-sm text-ink-2">
      <span className="figures">{shown} shown</span>
      {query.hasNextPage ? (
        <Button disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
          {query.isFetchingNextPage ? "Loading…" : "Show more"}
        </Button>
      ) : (
        <span className="text-ink-3">That is all.</span>
      )}
    </div>
  );
}
