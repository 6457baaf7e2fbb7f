/** Whether the money agrees, at a look: what needs somebody first, then how much is open, where, and since when. */

import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { mismatchStatsQuery, statusQuery, transactionStatsQuery, type PeriodName } from "@/api/queries.ts";
import { useApp } from "@/app/context.ts";
import { useNow } from "@/lib/clock.ts";
import { Empty, Failed, Loading, Stale } from "@/components/states.tsx";
import { Card, Choice, PageHeader, classes } from "@/components/ui.tsx";
import { TopicTable } from "../system/topics.tsx";
import { Breakdown } from "./breakdown.tsx";
import { Concerns } from "./concerns.tsx";
import { MoneyTable } from "./money-table.tsx";
import { PERIOD_WORDS } from "./periods.ts";
import { Tiles } from "./tiles.tsx";
import { BreaksTrend, VerdictsTrend } from "./trends.tsx";

const PERIOD_CHOICES = [
  { value: "1h", label: "1 h" },
  { value: "24h", label: "24 h" },
  { value: "7d", label: "7 d" },
] as const;

/** Statistics are asked for every 15 s and are at most 30 s old when they come. */
const STALE_MS = 45_000;

export function Overview() {
  const { api } = useApp();
  const { period = "24h" } = useSearch({ from: "/" });
  const navigate = useNavigate({ from: "/" });
  const status = useQuery(statusQuery(api));
  const verdicts = useQuery(transactionStatsQuery(api, period));
  const breaks = useQuery(mismatchStatsQuery(api, period));
  const queries = [status, verdicts, breaks];
  const oldest = Math.min(...queries.map((query) => query.dataUpdatedAt));
  const isStale = useNow() - oldest > STALE_MS;
  const failed = queries.find((query) => query.error && !query.data);
  const retry = () => queries.forEach((query) => query.isError && void query.refetch());

  return (
    <>
      <PageHeader title="Overview" about="Whether the money agrees, whether all of it is counted, and what is at risk.">
        <Stale updatedAt={oldest} afterMs={STALE_MS} />
        <Choice
          label="Period"
          value={period}
          options={PERIOD_CHOICES}
          onChange={(value: PeriodName) => void navigate({ search: (before) => ({ ...before, period: value }), replace: true })}
        />
      </PageHeader>
      {failed?.error ? (
        <Failed error={failed.error} onRetry={retry} />
      ) : !status.data || !verdicts.data || !breaks.data ? (
        <Loading what="the overview" rows={10} />
      ) : status.data.topics.every((topic) => topic.stored_at === null) ? (
        <NothingYet />
      ) : (
        <div className="flex flex-col gap-4">
          <Concerns status={status.data} open={breaks.data.now} isStale={isStale} />
          <Tiles status={status.data} open={breaks.data.now} verdicts={verdicts.data} period={period} isOld={verdicts.isPlaceholderData} />
          <div className="grid gap-4 md:grid-cols-2 2xl:grid-cols-3">
            <Breakdown open={breaks.data.now} />
            <Card title="Money by currency" aside={`At risk now, volume of the ${PERIOD_WORDS[period]}`} className={classes("md:col-span-2 2xl:col-span-1", verdicts.isPlaceholderData && "opacity-50")} bare>
              <MoneyTable open={breaks.data.now} verdicts={verdicts.data} />
            </Card>
          </div>
          <div className="grid gap-4 xl:grid-cols-2">
            <VerdictsTrend stats={verdicts.data} until={verdicts.dataUpdatedAt} period={period} isOld={verdicts.isPlaceholderData} />
            <BreaksTrend stats={breaks.data} until={breaks.dataUpdatedAt} period={period} isOld={breaks.isPlaceholderData} />
          </div>
          <Card title="Feeds" aside="Pace and waiting records of the last minute" bare>
            <TopicTable topics={status.data.topics.filter((topic) => topic.is_source)} />
          </Card>
        </div>
      )}
    </>
  );
}

/** Before the first record: eight empty cards would say no more. */
function NothingYet() {
  return (
    <Card>
      <Empty title="No source has reported yet">
        This page fills by itself, within moments of the first record from core banking, gateway or mobile app. Whether all is ready for it stands under{" "}
        <Link to="/system" className="font-medium text-accent underline underline-offset-2">
          System
        </Link>
        .
      </Empty>
    </Card>
  );
}
