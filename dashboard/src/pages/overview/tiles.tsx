/** The large figures. Each says what it is about: now, or the period. */

import { Link } from "@tanstack/react-router";
import { ShieldCheck, ShieldQuestion, ShieldX } from "lucide-react";
import { useEffect, useState, type ReactNode } from "react";
import type { Schema } from "@/api/client.ts";
import type { PeriodName } from "@/api/queries.ts";
import { useApp, useLinkState, useLiveStats, useLiveStatus } from "@/app/context.ts";
import { Button, Dialog, classes } from "@/components/ui.tsx";
import { Instant, Money } from "@/components/values.tsx";
import { count, share, shareOf } from "@/lib/money.ts";
import { latency } from "@/lib/time.ts";
import { plural } from "@/lib/words.ts";
import { Checks } from "../system/checks.tsx";
import { matchedCount, matchedValue, summed } from "./figures.ts";
import { PERIOD_WORDS } from "./periods.ts";

const CURRENCIES_SHOWN = 3;
const GO = "underline decoration-line-strong/60 underline-offset-3 hover:decoration-accent hover:text-accent";

interface TilesProps {
  status: Schema["Status"];
  open: Schema["OpenBreaks"];
  verdicts: Schema["TransactionStats"];
  period: PeriodName;
  /** Whether `verdicts` is still of the period that was chosen before. */
  isOld: boolean;
}

export function Tiles({ status, open, verdicts, period, isOld }: TilesProps) {
  const rate = matchedCount(verdicts.verdicts);
  const values = matchedValue(verdicts.verdicts);
  const volumes = summed(verdicts.verdicts.map(({ amounts }) => amounts)).slice(0, CURRENCIES_SHOWN);
  const risks = summed(open.classes.map(({ amounts }) => amounts));
  const critical = open.severities.find(({ severity }) => severity === "CRITICAL")?.breaks ?? 0;
  return (
    <div className="flex flex-wrap gap-px overflow-hidden rounded-lg border border-line bg-line">
      <Tile title="Open breaks" about="now" value={
        <Link to="/exceptions" search={{ state: "OPEN" }} aria-label={plural(open.open, "open break")} className={GO}>
          {count(open.open)}
        </Link>
      }>
        {critical ? (
          <Link to="/exceptions" search={{ state: "OPEN", severity: ["CRITICAL"] }} className={classes(GO, "font-medium text-bad")}>
            {count(critical)} critical
          </Link>
        ) : (
          <p>None is critical</p>
        )}
        <p>{plural(open.classes.filter(({ breaks }) => breaks > 0).length, "class", "classes")}</p>
      </Tile>
      <Tile title="Money at risk" about="now" value={risks.length ? <Risks amounts={risks.slice(0, CURRENCIES_SHOWN)} /> : "None"}>
        <p>A transaction counts with each of its breaks</p>
        {risks.length > CURRENCIES_SHOWN && <p>and {plural(risks.length - CURRENCIES_SHOWN, "currency", "currencies")} more below</p>}
      </Tile>
      <Accounting status={status} />
      <Tile title="Match rate" about={PERIOD_WORDS[period]} isOld={isOld} value={share(rate.matched, rate.decided)}>
        <p>
          {count(rate.matched)} of {count(rate.decided)} decided
        </p>
        {volumes.map(({ currency }) => {
          const value = values.get(currency);
          return (
            <p key={currency}>
              <span className="text-ink">{value && shareOf(value.matched, value.decided)}</span> of the value in {currency}
            </p>
          );
        })}
      </Tile>
      <Throughput topics={status.topics} />
    </div>
  );
}

/** No currency is larger than another: nothing is converted, so all have the same size. */
function Risks({ amounts }: { amounts: Schema["Money"][] }) {
  return (
    <ul className="text-lg leading-snug">
      {amounts.map((amount) => (
        <li key={amount.currency}>
          <Money amount={amount} />
        </li>
      ))}
    </ul>
  );
}

function Tile({ title, about, value, children, isOld }: { title: string; about: string; value: ReactNode; children: ReactNode; isOld?: boolean }) {
  return (
    <section aria-label={`${title}, ${about}`} aria-busy={isOld} className={classes("flex min-w-fit flex-1 basis-56 flex-col gap-1 bg-surface p-4", isOld && "*:opacity-50")}>
      <h2 className="flex flex-wrap items-baseline justify-between gap-x-2 text-sm text-ink-2">
        {title} <span className="text-xs text-ink-3">{about}</span>
      </h2>
      <div className="figures text-2xl font-semibold tracking-tight">{value}</div>
      <div className="figures flex flex-col items-start text-xs text-ink-2">{children}</div>
    </section>
  );
}

const ACCOUNTED = {
  yes: { value: "All accounted for", icon: ShieldCheck, tone: "text-good" },
  no: { value: "Not accounted for", icon: ShieldX, tone: "text-bad" },
  unknown: { value: "Not known", icon: ShieldQuestion, tone: "text-warn" },
};

function Accounting({ status }: { status: Schema["Status"] }) {
  const [isOpen, setOpen] = useState(false);
  const { value, icon: Icon, tone } = ACCOUNTED[status.holds === null ? "unknown" : status.holds ? "yes" : "no"];
  const violations = status.checks.reduce((sum, check) => sum + check.violations, 0);
  return (
    <Tile
      title="Every record"
      about="checked each minute"
      value={
        <span className={classes("flex items-center gap-2 py-0.5 text-xl", tone)}>
          <Icon aria-hidden className="size-5.5 shrink-0" />
          {value}
        </span>
      }
    >
      <p>
        {plural(status.checks.filter(({ holds }) => holds).length, "check")} of {count(status.checks.length)} hold
        {violations > 0 && <span className="font-medium text-bad">, {plural(violations, "violation")}</span>}
      </p>
      <p>
        Oldest <Instant at={status.checked_at} as="ago" />
      </p>
      <Button className="mt-1 !h-7 !px-2 !text-xs" onClick={() => setOpen(true)}>
        Show the checks
      </Button>
      <Dialog title="Is every record accounted for?" isOpen={isOpen} onClose={() => setOpen(false)} className="!w-[min(60rem,calc(100vw-2rem))]">
        <Checks checks={status.checks} />
      </Dialog>
    </Tile>
  );
}

const RECENT_SECONDS = 60;
/** Fewer of them are no line yet. */
const SPARKLINE_SECONDS_MIN = 10;

/** Results of each of the last seconds, as the server tells them. */
function useRecentResults(): readonly number[] {
  const { live } = useApp();
  const [recent, setRecent] = useState<readonly number[]>([]);
  useEffect(() => {
    let last = live.stats;
    return live.observe(() => {
      const { stats } = live;
      if (!stats || stats === last) return;
      last = stats;
      setRecent((before) => [...before, stats.results].slice(-RECENT_SECONDS));
    });
  }, [live]);
  return recent;
}

function Throughput({ topics }: { topics: readonly Schema["TopicView"][] }) {
  const stats = useLiveStats();
  const live = useLiveStatus();
  const isLive = useLinkState() === "live";
  const recent = useRecentResults();
  const last = stats?.latency_ms;
  const waiting = topics.reduce((sum, topic) => sum + (topic.lag ?? 0), 0);
  const untold = live ? Object.values(live.behind).reduce((sum, behind) => sum + behind, 0) : undefined;
  return (
    <Tile
      title="Throughput and latency"
      about={isLive ? "live" : "when last heard"}
      value={
        <span className="flex items-end gap-3">
          <span>
            {stats ? count(stats.results) : "–"}
            <span className="text-sm font-normal text-ink-2"> results/s</span>
          </span>
          {recent.length >= SPARKLINE_SECONDS_MIN && <Sparkline values={recent} />}
        </span>
      }
    >
      <p>{last ? `Verdicts ${latency(last)}` : "No verdict in the last second"}</p>
      <p>{waits(waiting, "record")} to be stored</p>
      <p>{untold === undefined ? "The live feed is not heard yet" : `${waits(untold, "result")} to be told live`}</p>
    </Tile>
  );
}

/** "1 record waits", "2 records wait". */
function waits(number: number, what: string): string {
  return `${plural(number, what)} ${number === 1 ? "waits" : "wait"}`;
}

/** A hint of the last minute; the number beside it is what counts. */
function Sparkline({ values }: { values: readonly number[] }) {
  const top = Math.max(1, ...values);
  const from = RECENT_SECONDS - values.length;
  const points = values.map((value, at) => `${from + at},${(20 - (value / top) * 18).toFixed(1)}`);
  return (
    <svg aria-hidden viewBox={`0 0 ${RECENT_SECONDS} 20`} preserveAspectRatio="none" className="h-7 w-24 min-w-0 shrink text-accent">
      <polyline points={points.join(" ")} fill="none" stroke="currentColor" strokeWidth={1.5} vectorEffect="non-scaling-stroke" />
    </svg>
  );
}
