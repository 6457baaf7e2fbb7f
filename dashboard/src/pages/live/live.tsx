/** What is decided, as it is decided: follows a channel, with pause and filter. */

import { getRouteApi, Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { Pause, Play, Trash2 } from "lucide-react";
import { useEffect, useReducer, useRef, useState, type ReactNode } from "react";
import { useChannel, useLinkState, useLiveStats, useLiveStatus, useMay } from "@/app/context.ts";
import { useShortcut } from "@/app/keyboard.tsx";
import { Empty } from "@/components/states.tsx";
import { Badge, Button, Card, Choice, Field, INPUT, PageHeader, Select } from "@/components/ui.tsx";
import { Instant, Money, Severity, TxnId, Verdict } from "@/components/values.tsx";
import { count } from "@/lib/money.ts";
import { useIsNarrow } from "@/lib/narrow.ts";
import { breakClass, CLASSES, plural, source, SOURCES, VERDICTS } from "@/lib/words.ts";
import type { Channel, DeadLetterItem, Items, MismatchItem, ResultItem } from "@/live/messages.ts";
import { reasonName } from "../dead-letters/reasons.ts";
import { add, EMPTY, keyOf, pause, resume, unseen, type Tail } from "./tail.ts";

const route = getRouteApi("/live");

type Change = { type: "add"; items: Items[Channel][] } | { type: "pause" | "resume" | "clear" | "gap" };

function change(tail: Tail<Items[Channel]>, action: Change): Tail<Items[Channel]> {
  switch (action.type) {
    case "add":
      return add(tail, unseen(tail, action.items));
    case "pause":
      return pause(tail);
    case "resume":
      return resume(tail);
    case "clear":
      return { ...EMPTY, isPaused: tail.isPaused };
    case "gap":
      return { ...tail, hasGap: true };
  }
}

const CHANNELS: { value: Channel; label: string }[] = [
  { value: "results", label: "All results" },
  { value: "mismatches", label: "Mismatches" },
  { value: "dead_letters", label: "Dead letters" },
];

export function Live() {
  const { channel: wanted = "results", verdict, class: classes, source: sources, currency } = route.useSearch();
  const navigate = route.useNavigate();
  const mayLetters = useMay("dead-letters:read");
  const channel = wanted === "dead_letters" && !mayLetters ? "results" : wanted;
  const [tail, dispatch] = useReducer(change, EMPTY);
  const isLetters = channel === "dead_letters";
  const filter = isLetters ? { source: sources } : { verdict, class: classes, source: sources, currency: currency ? [currency] : undefined };
  const key = JSON.stringify([channel, filter]);

  // what another filter let through does not belong under this one
  useEffect(() => dispatch({ type: "clear" }), [key]);
  useChannel(channel, filter, {
    onItems: (items) => dispatch({ type: "add", items }),
    onReload: () => dispatch({ type: "gap" }),
  });
  const turn = () => dispatch({ type: tail.isPaused ? "resume" : "pause" });
  useShortcut("p", turn);

  const set = (search: Partial<ReturnType<typeof route.useSearch>>) => void navigate({ search: (old) => ({ ...old, ...search }), replace: true });
  const hasFilter = Boolean(verdict ?? classes ?? sources ?? currency);
  return (
    <>
      <PageHeader title="Live" about="The newest first, as it is decided. What is older is in the lists.">
        <Button icon={tail.isPaused ? Play : Pause} look={tail.isPaused ? "primary" : "plain"} shortcut="p" onClick={turn}>
          {tail.isPaused ? "Go on" : "Pause"}
        </Button>
        <Button icon={Trash2} look="quiet" onClick={() => dispatch({ type: "clear" })}>
          Clear
        </Button>
      </PageHeader>
      <div className="flex flex-wrap items-end gap-3 pb-4">
        <Choice
          label="What is followed"
          value={channel}
          options={CHANNELS.filter(({ value }) => value !== "dead_letters" || mayLetters)}
          onChange={(value) => set({ channel: value })}
        />
        {!isLetters && (
          <>
            <Pick label="Verdict" value={verdict?.[0]} options={labels(VERDICTS)} onChange={(value) => set({ verdict: value && [value] })} />
            <Pick label="Class" value={classes?.[0]} options={labels(CLASSES)} onChange={(value) => set({ class: value && [value] })} />
          </>
        )}
        <Pick label="Source" value={sources?.[0]} options={Object.entries(SOURCES)} onChange={(value) => set({ source: value && [value] })} />
        {!isLetters && <CurrencyInput value={currency} onChange={(value) => set({ currency: value })} />}
        {hasFilter && (
          <Button look="quiet" onClick={() => set({ verdict: undefined, class: undefined, source: undefined, currency: undefined })}>
            Clear filters
          </Button>
        )}
        <Rates />
      </div>
      {tail.hasGap && (
        <p role="status" className="mb-3 rounded-md bg-warn-soft px-4 py-2 text-sm text-warn">
          Some lines are missing here: there were too many to be told again. The lists have them.
        </p>
      )}
      {tail.isPaused && <Held tail={tail} onResume={turn} />}
      <Card bare>{tail.shown.length ? <Lines channel={channel} items={tail.shown} /> : <Waiting />}</Card>
    </>
  );
}

const labels = (words: Record<string, { label: string }>): [string, string][] => Object.entries(words).map(([code, word]) => [code, word.label]);

interface PickProps {
  label: string;
  value: string | undefined;
  options: [string, string][];
  onChange: (value: string | undefined) => void;
}

function Pick({ label, value, options, onChange }: PickProps) {
  return (
    <Field label={label}>
      <Select value={value ?? ""} onChange={(event) => onChange(event.target.value || undefined)}>
        <option value="">Any</option>
        {options.map(([code, name]) => (
          <option key={code} value={code}>
            {name}
          </option>
        ))}
      </Select>
    </Field>
  );
}

function CurrencyInput({ value = "", onChange }: { value: string | undefined; onChange: (value: string | undefined) => void }) {
  const [text, setText] = useState(value);
  const [told, setTold] = useState(value);
  // by another way than this field: cleared, or by the browser's way back
  if (told !== value) {
    setTold(value);
    if (value || text.length === 3) setText(value);
  }
  return (
    <Field label="Currency">
      <input
        className={`${INPUT} w-20 font-normal uppercase placeholder:normal-case`}
        value={text}
        maxLength={3}
        placeholder="Any"
        onChange={(event) => {
          const next = event.target.value.toUpperCase();
          setText(next);
          if (next === "" || /^[A-Z]{3}$/.test(next)) onChange(next || undefined);
        }}
      />
    </Field>
  );
}

function Rates() {
  const stats = useLiveStats();
  const status = useLiveStatus();
  const isLive = useLinkState() === "live";
  // what was so when it was last heard is no rate of now
  if (!stats || !isLive) return null;
  const behind = Object.values(status?.behind ?? {}).reduce((sum, records) => sum + records, 0);
  return (
    <p className="figures ml-auto pb-2 text-sm text-ink-2">
      <span className="font-medium text-ink">{count(stats.results)}</span> results/s ·{" "}
      <span className="font-medium text-ink">{count(stats.mismatches)}</span> mismatches/s
      {behind > 0 && <> · {count(behind)} behind</>}
    </p>
  );
}

function Held({ tail, onResume }: { tail: Tail<Items[Channel]>; onResume: () => void }) {
  return (
    <p className="mb-3 flex flex-wrap items-center gap-3 rounded-md bg-info-soft px-4 py-2 text-sm text-info">
      <Pause aria-hidden className="size-4" />
      <span className="figures">
        Paused. {plural(tail.held.length, "line")} held back
        {tail.dropped > 0 && `, ${plural(tail.dropped, "older one")} not kept: the lists have them`}.
      </span>
      <button type="button" className="font-medium underline" onClick={onResume}>
        Show and go on
      </button>
    </p>
  );
}

function Waiting() {
  const state = useLinkState();
  const status = useLiveStatus();
  if (state !== "live") return <Empty title="Connecting again">What comes meanwhile follows once the connection is back.</Empty>;
  if (status?.live === false) return <Empty title="The feed is delayed">{status.reason}</Empty>;
  return <Empty title="Nothing has come yet">Each new line appears here by itself.</Empty>;
}

const COLUMNS: Record<Channel, string[]> = {
  results: ["Published", "Transaction", "Revision", "Verdict", "Breaks", "Severity", "Amount"],
  mismatches: ["Published", "Transaction", "Verdict", "Severity", "What is wrong", "Amount"],
  dead_letters: ["Published", "Record", "Reason", "Detail"],
};

const LINE_PIXELS = 36;
/** Where there is little room, a line has two. */
const NARROW_LINE_PIXELS = 60;

/** Only what can be seen is painted: at two thousand lines a second, all of them are new with every batch. */
function Lines({ channel, items }: { channel: Channel; items: readonly Items[Channel][] }) {
  const ref = useRef<HTMLDivElement>(null);
  const isNarrow = useIsNarrow();
  const rows = useVirtualizer({ count: items.length, getScrollElement: () => ref.current, estimateSize: () => (isNarrow ? NARROW_LINE_PIXELS : LINE_PIXELS), overscan: 6 });
  useEffect(() => rows.measure(), [rows, isNarrow]);
  const seen = rows.getVirtualItems();
  const above = seen[0]?.start ?? 0;
  const below = rows.getTotalSize() - (seen.at(-1)?.end ?? 0);
  return (
    <div ref={ref} className="h-[calc(100dvh-16rem)] min-h-80 overflow-auto" tabIndex={0} role="region" aria-label="Newest lines">
      <table className="w-full text-sm" aria-rowcount={items.length + 1}>
        <thead className="sticky top-0 z-10 bg-surface shadow-[0_1px_0_var(--line)] max-md:hidden">
          <tr className="text-left text-xs text-ink-2" aria-rowindex={1}>
            {COLUMNS[channel].map((name) => (
              <th key={name} scope="col" className={`px-4 py-2.5 font-medium whitespace-nowrap ${name === "Amount" ? "text-right" : ""}`}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {above > 0 && <tr aria-hidden style={{ height: above }} />}
          {seen.map(({ index }) => {
            const item = items[index];
            return isNarrow ? (
              item && <NarrowLine key={keyOf(item)} item={item} index={index} />
            ) : (
              item && (
                <tr key={keyOf(item)} aria-rowindex={index + 2} className="h-9 border-b border-line hover:bg-hover">
                  <Cell>
                    <Instant at={item.published_at} as="clock" />
                  </Cell>
                  {channel === "results" && "revision" in item && !("legs" in item) && <ResultCells item={item} />}
                  {channel === "mismatches" && "legs" in item && <MismatchCells item={item} />}
                  {channel === "dead_letters" && "reason" in item && <LetterCells item={item} />}
                </tr>
              )
            );
          })}
          {below > 0 && <tr aria-hidden style={{ height: below }} />}
        </tbody>
      </table>
    </div>
  );
}

function NarrowLine({ item, index }: { item: Items[Channel]; index: number }) {
  const isLetter = "reason" in item;
  return (
    <tr aria-rowindex={index + 2} className="h-15 border-b border-line">
      <td className="max-w-0 px-4">
        <span className="flex items-center justify-between gap-3">
          {isLetter ? <LetterLink item={item} /> : <TransactionLink id={item.txn_id} />}
          <span className="text-xs text-ink-2">
            <Instant at={item.published_at} as="clock" />
          </span>
        </span>
        <span className="flex items-center justify-between gap-3 pt-0.5">
          {isLetter ? (
            <span className="truncate text-xs text-ink-2">
              {reasonName(item.reason)}: {item.detail}
            </span>
          ) : (
            <>
              <span className="flex items-center gap-2 truncate">
                <Verdict code={item.verdict} />
                <span className="truncate text-xs text-ink-2">{item.classes.map(breakClass).join(", ")}</span>
              </span>
              <Money amount={item.amount} />
            </>
          )}
        </span>
      </td>
    </tr>
  );
}

function Cell({ children, className = "" }: { children: ReactNode; className?: string }) {
  return <td className={`max-w-96 truncate px-4 ${className}`}>{children}</td>;
}

function TransactionLink({ id }: { id: string }) {
  return (
    <Link to="/transactions/$txnId" params={{ txnId: id }} preload={false} className="text-accent hover:underline">
      <TxnId id={id} />
    </Link>
  );
}

function ResultCells({ item }: { item: ResultItem }) {
  return (
    <>
      <Cell>
        <TransactionLink id={item.txn_id} />
      </Cell>
      <Cell className="figures">{item.revision}</Cell>
      <Cell>
        <Verdict code={item.verdict} />
      </Cell>
      <Cell>{item.classes.map((each) => breakClass(each)).join(", ") || <span className="text-ink-3">–</span>}</Cell>
      <Cell>
        <Severity code={item.severity} />
      </Cell>
      <Cell className="text-right">
        <Money amount={item.amount} />
      </Cell>
    </>
  );
}

function MismatchCells({ item }: { item: MismatchItem }) {
  return (
    <>
      <Cell>
        <TransactionLink id={item.txn_id} />
      </Cell>
      <Cell>
        <Verdict code={item.verdict} />
      </Cell>
      <Cell>
        <Severity code={item.severity} />
      </Cell>
      <Cell>{item.explanation.length ? <span title={item.explanation.join("\n")}>{item.explanation[0]}</span> : <span className="text-ink-2">All breaks resolved.</span>}</Cell>
      <Cell className="text-right">
        <Money amount={item.amount} />
      </Cell>
    </>
  );
}

function LetterLink({ item: { place } }: { item: DeadLetterItem }) {
  const id = `${place.topic}:${place.partition}:${place.offset}`;
  return (
    <Link to="/dead-letters" search={{ letter: id }} className="font-mono text-[0.92em] text-accent hover:underline">
      {id}
    </Link>
  );
}

function LetterCells({ item }: { item: DeadLetterItem }) {
  return (
    <>
      <Cell>
        <LetterLink item={item} />
      </Cell>
      <Cell>
        <Badge tone="bad">{reasonName(item.reason)}</Badge>
      </Cell>
      <Cell>
        <span title={item.detail}>
          {source(item.place.topic.replace("_txns", "").toUpperCase())}: {item.detail}
        </span>
      </Cell>
    </>
  );
}
