/** The audit trail: who did what, and whether the chain that holds it was last found whole. */

import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { RefreshCw, Search, ShieldAlert, ShieldCheck, ShieldQuestion, SlidersHorizontal } from "lucide-react";
import { Fragment, useEffect, useRef, useState, type SyntheticEvent } from "react";
import { dataOf, type Schema } from "@/api/client.ts";
import { useApp, useMay } from "@/app/context.ts";
import type { AuditSearch } from "@/app/searches.ts";
import { Export } from "@/components/export.tsx";
import { More } from "@/components/more.tsx";
import { Scrollable } from "@/components/scrollable.tsx";
import { Empty, Failed, FilteredEmpty, Loading, Stale } from "@/components/states.tsx";
import { Badge, Button, Card, Field, INPUT, PageHeader, Select, classes } from "@/components/ui.tsx";
import { Instant } from "@/components/values.tsx";
import { said, saidInstant } from "@/lib/form.ts";
import { useIsNarrow } from "@/lib/narrow.ts";
import { queryString } from "@/lib/query.ts";
import { plural, readable, type Tone } from "@/lib/words.ts";

const route = getRouteApi("/audit");
/** What is usual is quiet, so that the rest stands out. */
const OUTCOMES: Record<string, Tone> = { ALLOWED: "quiet", DENIED: "bad", FAILED: "warn" };
const TEXTS = [
  ["actor", "Who"],
  ["action", "Action"],
  ["object", "Object"],
  ["address", "Address"],
  ["request_id", "Request id"],
] as const;

export function Audit() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { api } = useApp();
  const queries = useQueryClient();
  const mayExport = useMay("export");
  const list = useInfiniteQuery({
    queryKey: ["audit", search],
    queryFn: ({ signal, pageParam }) =>
      dataOf(
        api.GET("/audit", {
          signal,
          params: { query: { ...search, action: listed(search.action), outcome: listed(search.outcome), after: pageParam } },
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    // looking is recorded itself: only who asks for it looks again
    refetchOnWindowFocus: false,
  });
  const rows = list.data?.pages.flatMap((page) => page.items) ?? [];
  const isFiltered = holds(search);
  return (
    <>
      <PageHeader title="Audit" about="Who did what, when, from where, and how it ended. Reading it is recorded too.">
        {list.isError && <Stale updatedAt={list.dataUpdatedAt} error={list.error} />}
        <Button icon={RefreshCw} onClick={() => void queries.invalidateQueries({ queryKey: ["audit"] })}>
          Refresh
        </Button>
        {mayExport && <Export pathOf={(format) => `/audit/export?${queryString({ ...search, format })}`} />}
      </PageHeader>
      <Verification />
      <Filters search={search} onSearch={(next) => void navigate({ search: next })} />
      <Card bare>
        {list.isError && !list.data ? (
          <Failed error={list.error} onRetry={() => void list.refetch()} />
        ) : !list.data ? (
          <Loading what="the audit trail" />
        ) : rows.length ? (
          <>
            <Entries rows={rows} />
            <More query={list} shown={rows.length} />
          </>
        ) : isFiltered ? (
          <FilteredEmpty onReset={() => void navigate({ search: {} })} />
        ) : (
          <Empty title="Nothing is recorded yet" />
        )}
      </Card>
    </>
  );
}

/** Whether any filter does; what was mistyped in the address may stand there as undefined. */
function holds(search: AuditSearch): boolean {
  return queryString(search) !== "";
}

/** The API takes several of some; a form here asks for one. */
function listed<Value>(value: Value | undefined): Value[] | undefined {
  return value === undefined ? undefined : [value];
}

/** What the last verification found, and what became of the chain since: it only ever grows. */
function Verification() {
  const { api } = useApp();
  const { data, error, isError, dataUpdatedAt, refetch } = useQuery({
    queryKey: ["audit", "verification"],
    queryFn: ({ signal }) => dataOf(api.GET("/audit/verification", { signal })),
    refetchOnWindowFocus: false,
  });
  if (isError && !data) {
    return (
      <Card bare className="mb-4 border-l-4 border-l-warn">
        <Failed error={error} what="verification" onRetry={() => void refetch()} />
      </Card>
    );
  }
  const last = data?.verification;
  const behind = data && last ? data.last_seq - last.last_seq : 0;
  const isShorter = behind < 0;
  const isWhole = last?.ok && !isShorter;
  const Icon = !last ? ShieldQuestion : isWhole ? ShieldCheck : ShieldAlert;
  return (
    <Card className={classes("mb-4 border-l-4", last ? (isWhole ? "border-l-good" : "border-l-bad") : "border-l-line-strong")}>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 text-sm">
        <Icon aria-hidden className={classes("size-6", last ? (isWhole ? "text-good" : "text-bad") : "text-ink-3")} />
        <div className="min-w-0">
          <p className="font-semibold">
            {!data ? "Reading the last verification…" : !last ? "The chain has not been verified yet" : last.ok ? "The chain was whole" : `${plural(last.faults, "fault")} in the chain`}
          </p>
          {isShorter && (
            <p role="alert" className="font-semibold text-bad">
              The trail is shorter than when it was verified: it ends at number <span className="figures">{data?.last_seq}</span> now, {plural(-behind, "entry has", "entries have")} been
              removed.
            </p>
          )}
          <p className="text-ink-2">
            {last ? (
              <>
                Verified <Instant at={last.at} as="ago" />: {plural(last.examined, "entry", "entries")}, up to number{" "}
                <span className="figures">{last.last_seq}</span>.{" "}
                {behind > 0 ? `${plural(behind, "entry has", "entries have")} come since.` : behind === 0 && "None has come since."}
              </>
            ) : (
              <>
                Run <code className="rounded bg-sunken px-1 font-mono text-xs">recon-stream audit verify</code>, best by a timer.
              </>
            )}
          </p>
          {isError && <Stale updatedAt={dataUpdatedAt} error={error} />}
          {last && !last.ok && (
            <ul className="pt-1 text-bad">
              {last.examples.map((fault) => (
                <li key={fault.seq}>
                  Entry {fault.seq}: {fault.what}
                </li>
              ))}
            </ul>
          )}
        </div>
        {last && (
          <p className="ml-auto font-mono text-xs text-ink-3" title={last.last_hash}>
            {last.last_hash.slice(0, 16)}…
          </p>
        )}
      </div>
    </Card>
  );
}

function Filters({ search, onSearch }: { search: AuditSearch; onSearch: (search: AuditSearch) => void }) {
  const isNarrow = useIsNarrow();
  const [isOpen, setOpen] = useState(holds(search));
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    // the address says what holds: after the back button too, and without taking the focus from a field
    for (const field of form.current?.querySelectorAll<HTMLInputElement | HTMLSelectElement>("input, select") ?? []) {
      const value = search[field.name as keyof AuditSearch] ?? "";
      field.value = field.type === "datetime-local" ? value.slice(0, 16) : value;
    }
  }, [search]);
  const clear = () => {
    onSearch({});
    // the button goes away
    form.current?.querySelector("input")?.focus();
  };
  if (isNarrow && !isOpen) {
    return (
      <Button icon={SlidersHorizontal} className="mb-4 self-start" onClick={() => setOpen(true)}>
        Filters
      </Button>
    );
  }
  const submit = (event: SyntheticEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    onSearch({
      ...Object.fromEntries(TEXTS.map(([name]) => [name, said(form, name)])),
      outcome: said(form, "outcome") as AuditSearch["outcome"],
      since: saidInstant(form, "since"),
      before: saidInstant(form, "before"),
    });
  };
  return (
    <form ref={form} onSubmit={submit} className="grid grid-cols-2 items-end gap-3 pb-4 md:grid-cols-3 xl:grid-cols-5" aria-label="Filters of the audit trail">
      {TEXTS.map(([name, label]) => (
        <Field key={name} label={label}>
          <input name={name} defaultValue={search[name]} className={`${INPUT} font-normal`} />
        </Field>
      ))}
      <Field label="Outcome">
        <Select name="outcome" defaultValue={search.outcome ?? ""}>
          <option value="">Any</option>
          {Object.keys(OUTCOMES).map((code) => (
            <option key={code} value={code}>
              {readable(code)}
            </option>
          ))}
        </Select>
      </Field>
      <Field label="From (UTC)">
        <input type="datetime-local" name="since" defaultValue={search.since?.slice(0, 16)} className={`${INPUT} font-normal`} />
      </Field>
      <Field label="Before (UTC)">
        <input type="datetime-local" name="before" defaultValue={search.before?.slice(0, 16)} className={`${INPUT} font-normal`} />
      </Field>
      <div className="flex gap-2">
        <Button type="submit" look="primary" icon={Search}>
          Search
        </Button>
        {holds(search) && (
          <Button look="quiet" onClick={clear}>
            Clear
          </Button>
        )}
      </div>
    </form>
  );
}

function Entries({ rows }: { rows: Schema["AuditEntry"][] }) {
  const [open, setOpen] = useState<number>();
  const isNarrow = useIsNarrow();
  if (isNarrow) {
    return (
      <ul>
        {rows.map((row) => (
          <li key={row.seq} className="flex flex-col gap-1 border-b border-line px-4 py-2.5 text-sm">
            <span className="flex items-center justify-between gap-3">
              <span className="font-mono text-[0.92em] break-all">{row.action}</span>
              <Badge tone={OUTCOMES[row.outcome] ?? "quiet"}>{readable(row.outcome)}</Badge>
            </span>
            <span className="font-mono text-xs break-all text-ink-2">{row.object}</span>
            <span className="figures flex flex-wrap items-baseline gap-x-3 text-xs text-ink-2">
              <span>{row.actor}</span>
              <Instant at={row.at} />
              <span className="ml-auto">
                <MoreButton seq={row.seq} open={open} onOpen={setOpen} />
              </span>
            </span>
            {open === row.seq && <Details of={row} />}
          </li>
        ))}
      </ul>
    );
  }
  return (
    <Scrollable label="Entries">
      <table className="w-full min-w-200 text-sm">
        <thead>
          <tr className="border-b border-line text-left text-xs text-ink-2">
            {["No.", "When", "Who", "Action", "Object", "Outcome", "Address", ""].map((name) => (
              <th key={name} scope="col" className="px-4 py-2.5 font-medium">
                {name || <span className="sr-only">More</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <Fragment key={row.seq}>
              <tr className="border-b border-line hover:bg-hover">
                <td className="figures px-4 py-2 text-ink-3">{row.seq}</td>
                <td className="px-4 py-2">
                  <Instant at={row.at} />
                </td>
                <td className="px-4 py-2 whitespace-nowrap">
                  {row.actor} <span className="text-xs text-ink-3">{row.role !== row.actor && row.role}</span>
                </td>
                <td className="px-4 py-2 font-mono text-[0.92em] whitespace-nowrap">{row.action}</td>
                <td className="max-w-80 truncate px-4 py-2 font-mono text-[0.92em]" title={row.object}>
                  {row.object}
                </td>
                <td className="px-4 py-2">
                  <Badge tone={OUTCOMES[row.outcome] ?? "quiet"}>{readable(row.outcome)}</Badge>
                </td>
                <td className="figures px-4 py-2">{row.address}</td>
                <td className="px-4 py-2 text-right">
                  <MoreButton seq={row.seq} open={open} onOpen={setOpen} />
                </td>
              </tr>
              {open === row.seq && (
                <tr className="border-b border-line bg-sunken">
                  <td colSpan={8} className="px-4 py-3">
                    <Details of={row} />
                  </td>
                </tr>
              )}
            </Fragment>
          ))}
        </tbody>
      </table>
    </Scrollable>
  );
}

interface MoreButtonProps {
  seq: number;
  open: number | undefined;
  onOpen: (seq: number | undefined) => void;
}

function MoreButton({ seq, open, onOpen }: MoreButtonProps) {
  const isOpen = open === seq;
  return (
    <button type="button" aria-expanded={isOpen} className="text-accent hover:underline" onClick={() => onOpen(isOpen ? undefined : seq)}>
      {isOpen ? "Less" : "More"} <span className="sr-only">of entry {seq}</span>
    </button>
  );
}

function Details({ of: { object, request_id, session, hash, address, detail } }: { of: Schema["AuditEntry"] }) {
  return (
    <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-5 gap-y-1 font-mono text-xs break-all">
      {[
        ["Object", object],
        ["Address", address],
        ["Request", request_id],
        ["Session", session],
        ["Hash", hash],
        ["Detail", JSON.stringify(detail, null, 2)],
      ].map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-ink-2">{name}</dt>
          <dd className="whitespace-pre-wrap">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
