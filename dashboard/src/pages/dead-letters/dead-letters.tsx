/** Records that could not be used: how many and why, each with its bytes, and what can be done. */

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { X } from "lucide-react";
import { useState } from "react";
import { dataOf, type Schema } from "@/api/client.ts";
import { useApp, useChannel } from "@/app/context.ts";
import { More } from "@/components/more.tsx";
import { Scrollable } from "@/components/scrollable.tsx";
import { Empty, Failed, FilteredEmpty, Loading, Stale } from "@/components/states.tsx";
import { Button, Card, Choice, PageHeader, classes } from "@/components/ui.tsx";
import { Instant } from "@/components/values.tsx";
import { count } from "@/lib/money.ts";
import { useIsNarrow } from "@/lib/narrow.ts";
import { plural, type Tone } from "@/lib/words.ts";
import { remember, waiting, type Fresh } from "./fresh.ts";
import { Letter } from "./letter.tsx";
import { reasonName, REASONS } from "./reasons.ts";

const route = getRouteApi("/dead-letters");

export const STATES: Record<string, Tone> = { OPEN: "bad", REPLAYED: "good", DISCARDED: "quiet" };
const STATE_CHOICES = [
  { value: "OPEN" as const, label: "Open" },
  { value: "REPLAYED" as const, label: "Replayed" },
  { value: "DISCARDED" as const, label: "Discarded" },
];

export function DeadLetters() {
  const { reason, topic, state = "OPEN", letter } = route.useSearch();
  const navigate = route.useNavigate();
  const { api } = useApp();
  const [fresh, setFresh] = useState<readonly Fresh[]>([]);
  const reasons = useQuery({
    queryKey: ["dead-letters", "reasons"],
    queryFn: ({ signal }) => dataOf(api.GET("/dead-letters/reasons", { signal })),
    refetchInterval: 10_000,
  });
  const list = useInfiniteQuery({
    queryKey: ["dead-letters", "list", { reason, topic, state }],
    queryFn: ({ signal, pageParam }) => {
      const query = { reason: reason ? [reason] : [], topic: topic ? [topic] : [], state: [state], after: pageParam };
      return dataOf(api.GET("/dead-letters", { signal, params: { query } }));
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    refetchOnWindowFocus: false,
  });
  useChannel("dead_letters", {}, {
    onItems: (items) => setFresh((known) => remember(known, items, Date.now())),
    onReload: () => void list.refetch(),
  }); // prettier-ignore

  const set = (search: Partial<ReturnType<typeof route.useSearch>>) => void navigate({ search: (old) => ({ ...old, ...search }), replace: true });
  const showNew = () => {
    void list.refetch();
    void reasons.refetch();
  };
  const rows = list.data?.pages.flatMap((page) => page.items) ?? [];
  const waits = waiting(fresh, { reason, topic, state }, new Set(rows.map((row) => row.id)), list.dataUpdatedAt);
  return (
    <>
      <PageHeader title="Dead letters" about="Records that could not be used. Nothing of them is lost: the archive holds their bytes.">
        {list.isError ? <Stale updatedAt={list.dataUpdatedAt} error={list.error} /> : reasons.isError && <Stale updatedAt={reasons.dataUpdatedAt} />}
        <Choice label="State" value={state} options={STATE_CHOICES} onChange={(value) => set({ state: value })} />
      </PageHeader>
      <div className="grid gap-5 xl:grid-cols-[20rem_minmax(0,1fr)]">
        <Reasons query={reasons.data} state={state} chosen={reason} onChoose={(value) => set({ reason: value })} />
        <Card
          bare
          title={reason ? reasonName(reason) : "All reasons"}
          aside={
            <>
              {topic && <Button look="quiet" icon={X} onClick={() => set({ topic: undefined })}>Topic {topic}</Button>}
              {waits > 0 && <Button look="primary" onClick={showNew}>{count(waits)} new</Button>}
            </>
          }
        >
          {list.isError && !list.data ? (
            <Failed error={list.error} onRetry={() => void list.refetch()} />
          ) : !list.data ? (
            <Loading what="dead letters" />
          ) : rows.length ? (
            <>
              <Table rows={rows} chosen={letter} onOpen={(id) => set({ letter: id })} />
              <More query={list} shown={rows.length} />
            </>
          ) : reason || topic ? (
            <FilteredEmpty onReset={() => set({ reason: undefined, topic: undefined })} />
          ) : state === "OPEN" ? (
            <Empty title="No open dead letters">Every record could be used.</Empty>
          ) : (
            <Empty title={`None has been ${state.toLowerCase()}`} />
          )}
        </Card>
      </div>
      <Letter id={letter} onClose={() => set({ letter: undefined })} />
    </>
  );
}

interface ReasonsProps {
  query: Schema["ReasonCounts"] | undefined;
  state: "OPEN" | "REPLAYED" | "DISCARDED";
  chosen: string | undefined;
  onChoose: (reason: string | undefined) => void;
}

function Reasons({ query, state, chosen, onChoose }: ReasonsProps) {
  const key = { OPEN: "open", REPLAYED: "replayed", DISCARDED: "discarded" }[state] as "open" | "replayed" | "discarded";
  const items = [...(query?.items ?? [])].sort((a, b) => b[key] - a[key]);
  const total = items.reduce((sum, item) => sum + item[key], 0);
  return (
    <Card bare title="By reason" aside={<span className="figures">{plural(total, "letter")}</span>} className="self-start">
      <ul className="p-2">
        {items.map((item) => (
          <li key={item.reason}>
            <button
              type="button"
              aria-pressed={chosen === item.reason}
              onClick={() => onChoose(chosen === item.reason ? undefined : item.reason)}
              className={classes("flex w-full items-baseline gap-3 rounded-md px-2.5 py-2 text-left text-sm hover:bg-hover", chosen === item.reason && "bg-chosen")}
            >
              <span className="min-w-0 flex-1">
                <span className="font-medium">{reasonName(item.reason)}</span>
                <span className="block text-xs text-ink-2">{REASONS[item.reason]?.about}</span>
              </span>
              <span className="figures font-medium">{count(item[key])}</span>
            </button>
          </li>
        ))}
        {query && items.length === 0 && <li className="px-2.5 py-4 text-sm text-ink-2">There has never been one.</li>}
      </ul>
    </Card>
  );
}

function Table({ rows, chosen, onOpen }: { rows: Schema["DeadLetterRow"][]; chosen: string | undefined; onOpen: (id: string) => void }) {
  const isNarrow = useIsNarrow();
  if (isNarrow) {
    return (
      <ul>
        {rows.map((row) => (
          <li key={row.id} className="border-b border-line">
            <button type="button" className={classes("flex w-full flex-col gap-0.5 px-4 py-2.5 text-left text-sm hover:bg-hover", row.id === chosen && "bg-chosen")} onClick={() => onOpen(row.id)}>
              <span className="flex w-full justify-between gap-3">
                <span className="font-medium">{reasonName(row.reason)}</span>
                <span className="text-xs text-ink-2">
                  <Instant at={row.failed_at} as="short" />
                </span>
              </span>
              <span className="font-mono text-xs text-accent">{row.id}</span>
              <span className="text-xs text-ink-2">{row.detail}</span>
            </button>
          </li>
        ))}
      </ul>
    );
  }
  return (
    <Scrollable label="Dead letters">
      <table className="w-full min-w-160 text-sm">
        <thead>
          <tr className="border-b border-line text-left text-xs text-ink-2">
            {["Refused", "Record", "Reason", "Detail"].map((name) => (
              <th key={name} scope="col" className="px-4 py-2.5 font-medium">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.id} className={classes("border-b border-line hover:bg-hover", row.id === chosen && "bg-chosen")}>
              <td className="px-4 py-2">
                <Instant at={row.failed_at} as="short" />
              </td>
              <td className="px-4 py-2">
                <button type="button" className="text-left font-mono text-[0.92em] whitespace-nowrap text-accent hover:underline" onClick={() => onOpen(row.id)}>
                  {row.id}
                </button>
              </td>
              <td className="px-4 py-2 whitespace-nowrap">{reasonName(row.reason)}</td>
              <td className="w-full max-w-96 truncate px-4 py-2 text-ink-2" title={row.detail}>
                {row.detail}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scrollable>
  );
}
