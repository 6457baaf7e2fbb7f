/** How it came about: verdicts and newly opened breaks over the period, as charts and as tables. */

import { useNavigate, useSearch } from "@tanstack/react-router";
import { ChartColumn, Table } from "lucide-react";
import { useMemo, type ReactNode } from "react";
import type { Schema } from "@/api/client.ts";
import type { PeriodName } from "@/api/queries.ts";
import { SeriesTable, StackedChart, Swatch } from "@/components/chart.tsx";
import { Empty } from "@/components/states.tsx";
import { Button, Card, classes } from "@/components/ui.tsx";
import { count, share } from "@/lib/money.ts";
import { usePreferences } from "@/lib/preferences.ts";
import { peak, stepsOf, total, valuesOf, type Series, type Steps } from "@/lib/series.ts";
import { duration, instant } from "@/lib/time.ts";
import { breakClass, verdict } from "@/lib/words.ts";
import { CLASS_COLORS, VERDICT_COLORS, proportions } from "./figures.ts";
import { PERIOD_WORDS } from "./periods.ts";

interface TrendProps<Stats> {
  stats: Stats;
  /** Epoch milliseconds: when the statistics came. */
  until: number;
  period: PeriodName;
  /** Whether they are still of the period that was chosen before. */
  isOld: boolean;
}

export function VerdictsTrend({ stats, ...rest }: TrendProps<Schema["TransactionStats"]>) {
  return (
    <Trend id="verdicts" title="Verdicts by time of decision" colors={VERDICT_COLORS} label={(code) => verdict(code).label} stats={stats} {...rest}>
      <ProportionBar stats={stats} />
    </Trend>
  );
}

export function BreaksTrend(props: TrendProps<Schema["MismatchStats"]>) {
  const { open, resolved } = props.stats;
  return (
    <Trend id="breaks" title="Breaks by time of opening" colors={CLASS_COLORS} label={breakClass} {...props}>
      <p className="figures pb-3 text-xs text-ink-2">
        Of the breaks opened in this period, <span className="font-medium text-ink">{count(open)}</span> are open now and{" "}
        <span className="font-medium text-ink">{count(resolved)}</span> resolved.
      </p>
    </Trend>
  );
}

interface SeriesProps extends TrendProps<Pick<Schema["TransactionStats"], "series" | "since" | "step_seconds">> {
  id: "verdicts" | "breaks";
  title: string;
  /** By code; their order is that of the stack, from the bottom. */
  colors: Record<string, string>;
  label: (code: string) => string;
  children: ReactNode;
}

function Trend({ id, title, colors, label, stats, until, period, isOld, children }: SeriesProps) {
  const { hidden = [], tables = [] } = useSearch({ from: "/" });
  const navigate = useNavigate({ from: "/" });
  const { zone } = usePreferences();
  // nothing that was counted is left out because the clock of this machine is behind
  const end = Math.max(until, Date.parse(stats.series.at(-1)?.at ?? stats.since));
  const steps = useMemo(() => stepsOf(stats.since, stats.step_seconds, end), [stats, end]);
  const series = useMemo(() => seriesOf(stats.series, steps, colors, label), [stats, steps, colors, label]);
  const isTable = tables.includes(id);
  const setTables = () => void navigate({ search: (before) => ({ ...before, tables: isTable ? tables.filter((each) => each !== id) : [...tables, id] }), replace: true, resetScroll: false }); // prettier-ignore
  const top = peak(series, steps);
  const summary = top
    ? `${PERIOD_WORDS[period]}: ${series.map((each) => `${each.label} ${total(each.values)}`).join(", ")}. Most in a step: ${top.value} at ${instant(new Date(top.start * 1000).toISOString(), zone)}.`
    : `Nothing in the ${PERIOD_WORDS[period]}.`;
  return (
    <Card
      title={title}
      aside={
        <>
          <span>
            {PERIOD_WORDS[period]}, steps of {duration(stats.step_seconds)}
          </span>
          <Button look="quiet" icon={isTable ? ChartColumn : Table} className="!h-8 !px-2 !text-xs" aria-label={`${title}: show as ${isTable ? "chart" : "table"}`} onClick={setTables}>
            {isTable ? "Chart" : "Table"}
          </Button>
        </>
      }
    >
      <div aria-busy={isOld} className={classes(isOld && "opacity-50")}>
        {children}
        {!top ? (
          <Empty title={`Nothing in the ${PERIOD_WORDS[period]}`} />
        ) : isTable ? (
          <SeriesTable name={title} steps={steps} series={series} />
        ) : (
          <StackedChart
            name={title}
            summary={summary}
            steps={steps}
            series={series}
            hidden={hidden}
            onHide={(codes) => void navigate({ search: (before) => ({ ...before, hidden: codes.length ? codes : undefined }), replace: true, resetScroll: false })}
          />
        )}
      </div>
    </Card>
  );
}

/** Those that occur, in the order of their colours; what is not known here stands on top. */
function seriesOf(points: readonly Schema["Point"][], steps: Steps, colors: Record<string, string>, label: (code: string) => string): Series[] {
  const found = new Set(points.flatMap(({ counts }) => Object.keys(counts)));
  const codes = [...Object.keys(colors).filter((code) => found.has(code)), ...[...found].filter((code) => !(code in colors)).sort()];
  return codes.map((code) => ({ key: code, label: label(code), color: colors[code] ?? "--chart-gray", values: valuesOf(points, steps, code) }));
}

/** All verdicts of the period as one bar; the numbers stand below it, because narrow parts have no room. */
function ProportionBar({ stats }: { stats: Schema["TransactionStats"] }) {
  const parts = proportions(stats.verdicts);
  if (parts.length === 0) return null;
  return (
    <div className="pb-4">
      <div aria-hidden className="flex h-3 gap-px overflow-hidden rounded-full bg-sunken">
        {parts.map(({ code, color, number }) => (
          <div key={code} className="h-full min-w-0.5" style={{ flexGrow: number, background: `var(${color})` }} />
        ))}
      </div>
      <dl className="figures flex flex-wrap gap-x-4 gap-y-1 pt-2 text-xs">
        {parts.map(({ code, label, color, number }) => (
          <div key={code} className="flex items-center gap-1.5">
            <dt className="flex items-center gap-1.5 text-ink-2">
              <Swatch color={color} />
              {label}
            </dt>
            <dd className="font-medium">{share(number, stats.transactions)}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
