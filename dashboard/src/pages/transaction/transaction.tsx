/** One transaction: what is wrong and who is the odd one out, then the evidence, down to the bytes. */

import { getRouteApi, Link } from "@tanstack/react-router";
import { ArrowLeft, CheckCircle2, TriangleAlert } from "lucide-react";
import type { Schema } from "@/api/client.ts";
import { useMay } from "@/app/context.ts";
import { CopyButton, CopyIcon } from "@/components/copy.tsx";
import { Failed, Loading, NotFound, Stale } from "@/components/states.tsx";
import { Card, Choice, classes } from "@/components/ui.tsx";
import { Instant, Money, Verdict } from "@/components/values.tsx";
import { groupedIn } from "@/lib/money.ts";
import { plural, verdict } from "@/lib/words.ts";
import { Breaks } from "./breaks.tsx";
import { largestDelta, oddOnes } from "./compare.ts";
import { History } from "./history.tsx";
import { Legs } from "./legs.tsx";
import { useTransaction } from "./reading.ts";
import { Records } from "./records.tsx";

const route = getRouteApi("/transactions/$txnId");

export function Transaction() {
  const { txnId } = route.useParams();
  const { tab = "legs", break: chosen } = route.useSearch();
  const navigate = route.useNavigate();
  const mayRaw = useMay("raw:read");
  const reading = useTransaction(txnId);
  const { query } = reading;
  const { data } = query;

  if (reading.isAwaited) return <NotFound what="transaction" isAwaited />;
  if (query.isError && !data) return <Failed error={query.error} what="transaction" onRetry={() => void query.refetch()} />;
  if (!data) return <Loading what="the transaction" rows={10} />;
  const tabs = [
    { value: "legs" as const, label: "Three sides" },
    { value: "history" as const, label: `History (${data.revisions.length})` },
    ...(mayRaw ? [{ value: "records" as const, label: "Source records" }] : []),
  ];
  return (
    <>
      <Head data={data} reading={reading} />
      <Finding data={data} />
      <div className="pt-5 pb-3">
        <Choice label="View" value={tab} options={tabs} onChange={(value) => void navigate({ search: { tab: value, break: chosen }, replace: true })} />
      </div>
      {tab === "legs" && (
        <div className="flex flex-col gap-5">
          <Legs legs={data.legs} breaks={data.breaks} isPending={data.verdict === "PENDING"} />
          <Breaks breaks={data.breaks} chosen={chosen} />
        </div>
      )}
      {tab === "history" && <History data={data} />}
      {tab === "records" && mayRaw && <Records txnId={txnId} revision={data.revision} />}
    </>
  );
}

function Head({ data, reading }: { data: Schema["Transaction"]; reading: ReturnType<typeof useTransaction> }) {
  return (
    <header className="flex flex-wrap items-start justify-between gap-x-5 gap-y-3 pb-4">
      <div className="min-w-0">
        <Link to="/exceptions" className="inline-flex items-center gap-1 text-sm text-ink-2 hover:text-ink hover:underline">
          <ArrowLeft aria-hidden className="size-3.5" /> Exceptions
        </Link>
        <div className="flex items-center gap-1">
          <h1 className="min-w-0 font-mono text-lg font-semibold break-all outline-none" tabIndex={-1} data-page-title>
            {data.txn_id}
          </h1>
          <CopyIcon label="Copy the transaction id" text={() => data.txn_id} />
        </div>
        <p className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm text-ink-2">
          <Verdict code={data.verdict} />
          <span>
            Revision <span className="figures">{data.revision}</span>, decided <Instant at={data.decided_at} as="ago" />
          </span>
          <span>Rules {data.rules_version}</span>
          {reading.query.isError && <Stale updatedAt={reading.query.dataUpdatedAt} afterMs={0} />}
          <span role="status" className="font-medium text-warn">
            {reading.awaited !== null && `Revision ${reading.awaited} is known, ${reading.isAsking ? "reading…" : "but not stored yet."}`}
          </span>
          {reading.awaited !== null && !reading.isAsking && (
            <button type="button" className="text-accent hover:underline" onClick={reading.askAgain}>
              Read again
            </button>
          )}
        </p>
      </div>
      <div className="flex flex-wrap items-center gap-2">
        <CopyButton text={() => JSON.stringify(data, null, 2)}>Copy as JSON</CopyButton>
        <CopyButton text={() => location.href}>Copy link</CopyButton>
      </div>
    </header>
  );
}

/** The difference on top, who is the odd one out, and why, in a sentence for each open break. */
function Finding({ data }: { data: Schema["Transaction"] }) {
  const delta = largestDelta(data.breaks);
  const odd = oddOnes(data.breaks);
  const isOpen = data.explanation.length > 0;
  const Icon = isOpen ? TriangleAlert : CheckCircle2;
  const isGood = !isOpen && data.verdict.startsWith("MATCHED");
  return (
    <Card bare className={classes("border-l-4", isOpen ? "border-l-bad" : isGood ? "border-l-good" : "border-l-line-strong")}>
      <div className="figures flex flex-wrap items-stretch gap-x-10 gap-y-4 p-4 md:p-5">
        <Figure label={delta ? "Difference" : "Amount"}>
          <Money amount={delta ?? data.amount} withSign={delta !== null} className={classes("text-2xl font-semibold", delta && "text-bad")} />
        </Figure>
        {delta && (
          <Figure label="Amount">
            <Money amount={data.amount} className="text-2xl" />
          </Figure>
        )}
        {isOpen && <Figure label="Odd one out">{<span className="text-2xl">{odd.length ? odd.join(", ") : "No majority"}</span>}</Figure>}
        <div className="flex min-w-64 flex-1 items-start gap-2.5 self-center text-sm">
          <Icon aria-hidden className={classes("mt-0.5 size-4.5 shrink-0", isOpen ? "text-bad" : isGood ? "text-good" : "text-ink-3")} />
          {isOpen ? (
            <ul aria-label="What is wrong" className="flex flex-col gap-1.5">
              {data.explanation.map((sentence) => (
                <li key={sentence}>{groupedIn(sentence)}</li>
              ))}
            </ul>
          ) : (
            <p>
              {verdict(data.verdict).about}{" "}
              {data.breaks.length > 0 && <span className="text-ink-2">{plural(data.breaks.length, "break")} of it resolved.</span>}
            </p>
          )}
        </div>
      </div>
    </Card>
  );
}

function Figure({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <div>
      <p className="text-xs font-medium text-ink-2">{label}</p>
      <p className="tracking-tight">{children}</p>
    </div>
  );
}
