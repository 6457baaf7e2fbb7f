/** The audit trail: who did what, and whether the chain that holds it was last found whole. */

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { ShieldAlert, ShieldCheck, ShieldQuestion } from "lucide-react";
import { Fragment, useState, type SyntheticEvent } from "react";
import { dataOf, type Schema } from "@/api/client.ts";
import { useApp } from "@/app/context.ts";
import type { AuditSearch } from "@/app/searches.ts";
import { More } from "@/components/more.tsx";
import { Scrollable } from "@/components/scrollable.tsx";
import { Empty, Failed, FilteredEmpty, Loading } from "@/components/states.tsx";
import { Badge, Button, Card, Field, INPUT, PageHeader, classes } from "@/components/ui.tsx";
import { Instant } from "@/components/values.tsx";
import { said, saidInstant } from "@/lib/form.ts";
import { plural, readable, type Tone } from "@/lib/words.ts";

const route = getRouteApi("/audit");
const OUTCOMES: Record<string, Tone> = { ALLOWED: "good", DENIED: "bad", FAILED: "warn" };
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
  const isFiltered = Object.keys(search).length > 0;
  return (
    <>
      <PageHeader title="Audit" about="Who did what, when, from where, and how it ended. Reading it is recorded too.">
        <Button onClick={() => void list.refetch()}>Refresh</Button>
      </PageHeader>
      <Verification />
      <Filters key={JSON.stringify(search)} search={search} onSearch={(next) => void navigate({ search: next })} />
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

/** The API takes several of some; a form here asks for one. */
function listed<Value>(value: Value | undefined): Value[] | undefined {
  return value === undefined ? undefined : [value];
}

function Verification() {
  const { api } = useApp();
  const { data, isError } = useQuery({
    queryKey: ["audit", "verification"],
    queryFn: ({ signal }) => dataOf(api.GET("/audit/verification", { signal })),
    refetchOnWindowFocus: false,
  });
  if (isError) return null;
  const last = data?.verification;
  const behind = data && last ? data.last_seq - last.last_seq : 0;
  const Icon = !last ? ShieldQuestion : last.ok ? ShieldCheck : ShieldAlert;
  return (
    <Card className={classes("mb-4 border-l-4", last ? (last.ok ? "border-l-good" : "border-l-bad") : "border-l-line-strong")}>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 text-sm">
        <Icon aria-hidden className={classes("size-6", last ? (last.ok ? "text-good" : "text-bad") : "text-ink-3")} />
        <div className="min-w-0">
          <p className="font-semibold">
            {!data ? "Reading the last verification…" : !last ? "The chain has not been verified yet" : last.ok ? "The chain was whole" : `${plural(last.faults, "fault")} in the chain`}
          </p>
          <p className="text-ink-2">
            {last ? (
              <>
                Verified <Instant at={last.at} as="ago" />: {plural(last.examined, "entry", "entries")}, up to number{" "}
                <span className="figures">{last.last_seq}</span>.{" "}
                {behind > 0 ? `${plural(behind, "entry has", "entries have")} come since.` : "None has come since."}
              </>
            ) : (
              <>
                Run <code className="rounded bg-sunken px-1 font-mono text-xs">recon-stream audit verify</code>, best by a timer.
              </>
            )}
          </p>
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
    <form onSubmit={submit} className="flex flex-wrap items-end gap-3 pb-4" aria-label="Filters of the audit trail">
      {TEXTS.map(([name, label]) => (
        <Field key={name} label={label}>
          <input name={name} defaultValue={search[name]} className={`${INPUT} w-36 font-normal`} />
        </Field>
      ))}
      <Field label="Outcome">
        <select name="outcome" defaultValue={search.outcome ?? ""} className={`${INPUT} font-normal`}>
          <option value="">Any</option>
          {Object.keys(OUTCOMES).map((code) => (
            <option key={code} value={code}>
              {readable(code)}
            </option>
          ))}
        </select>
      </Field>
      <Field label="From (UTC)">
        <input type="datetime-local" name="since" defaultValue={search.since?.slice(0, 16)} className={`${INPUT} font-normal`} />
      </Field>
      <Field label="Before (UTC)">
        <input type="datetime-local" name="before" defaultValue={search.before?.slice(0, 16)} className={`${INPUT} font-normal`} />
      </Field>
      <Button type="submit" look="primary">
        Search
      </Button>
      <Button look="quiet" onClick={() => onSearch({})}>
        Clear
      </Button>
    </form>
  );
}

function Entries({ rows }: { rows: Schema["AuditEntry"][] }) {
  const [open, setOpen] = useState<number>();
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
                <td className="px-4 py-2 whitespace-nowrap">{row.action}</td>
                <td className="max-w-80 truncate px-4 py-2 font-mono text-[0.92em]" title={row.object}>
                  {row.object}
                </td>
                <td className="px-4 py-2">
                  <Badge tone={OUTCOMES[row.outcome] ?? "quiet"}>{readable(row.outcome)}</Badge>
                </td>
                <td className="figures px-4 py-2">{row.address}</td>
                <td className="px-4 py-2 text-right">
                  <button
                    type="button"
                    aria-expanded={open === row.seq}
                    className="text-accent hover:underline"
                    onClick={() => setOpen(open === row.seq ? undefined : row.seq)}
                  >
                    {open === row.seq ? "Less" : "More"} <span className="sr-only">of entry {row.seq}</span>
                  </button>
                </td>
              </tr>
              {open === row.seq && (
                <tr className="border-b border-line bg-sunken">
                  <td colSpan={8} className="px-4 py-3">
                    <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-5 gap-y-1 font-mono text-xs break-all">
                      <dt className="text-ink-2">Request</dt>
                      <dd>{row.request_id}</dd>
                      <dt className="text-ink-2">Session</dt>
                      <dd>{row.session}</dd>
                      <dt className="text-ink-2">Hash</dt>
                      <dd>{row.hash}</dd>
                      <dt className="text-ink-2">Detail</dt>
                      <dd className="whitespace-pre-wrap">{JSON.stringify(row.detail, null, 2)}</dd>
                    </dl>
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
