/** Where the open breaks are: by severity, source, age and class. Each bar leads to these breaks. */

import { Link } from "@tanstack/react-router";
import type { Schema } from "@/api/client.ts";
import type { ExceptionsSearch } from "@/app/searches.ts";
import { Empty } from "@/components/states.tsx";
import { Card } from "@/components/ui.tsx";
import { count, share } from "@/lib/money.ts";
import { duration } from "@/lib/time.ts";
import { SEVERITIES, breakClass, severity, source, type Tone } from "@/lib/words.ts";

const BARS: Record<Tone | "accent", string> = { good: "bg-good", warn: "bg-warn", bad: "bg-bad", info: "bg-info", quiet: "bg-quiet", accent: "bg-accent" };

interface Bar {
  key: string;
  label: string;
  breaks: number;
  tone: Tone | "accent";
  search: ExceptionsSearch;
}

export function Breakdown({ open }: { open: Schema["OpenBreaks"] }) {
  const ranks = Object.keys(SEVERITIES);
  const severities = open.severities.toSorted((a, b) => ranks.indexOf(a.severity) - ranks.indexOf(b.severity));
  const byNumber = <Sum extends { breaks: number }>(sums: Sum[]) => sums.toSorted((a, b) => b.breaks - a.breaks);
  return (
    <>
      <div className="flex flex-col gap-4">
        <Bars
          title="Open breaks by severity"
          whole={open.open}
          bars={severities.map(({ severity: code, breaks }) => ({ key: code, ...severity(code), breaks, search: { severity: [code] as ExceptionsSearch["severity"] } }))}
        />
        <Bars
          title="Open breaks by source that differs"
          whole={open.open}
          bars={byNumber(open.subjects).map(({ subject: code, breaks }) => ({ key: code, label: source(code), breaks, tone: "accent", search: { source: [code] as ExceptionsSearch["source"] } }))}
        />
        <Bars
          title="Open breaks by age"
          whole={open.open}
          bars={open.ages.map((age) => ({ key: String(age.from_seconds), ...ageWords(age), breaks: age.breaks, search: { since: age.since ?? undefined, before: age.before ?? undefined } }))}
        />
      </div>
      <Bars
        title="Open breaks by class"
        whole={open.open}
        bars={byNumber(open.classes).map(({ class: code, breaks }) => ({ key: code, label: breakClass(code), breaks, tone: "accent", search: { class: [code] as ExceptionsSearch["class"] } }))}
      />
    </>
  );
}

const DAY = 86_400;

/** How an age is called; what has been open for days is graver. */
function ageWords({ from_seconds: from, to_seconds: to }: Schema["AgeSum"]): Pick<Bar, "label" | "tone"> {
  const label = to === null ? `More than ${duration(from)}` : from === 0 ? `Less than ${duration(to)}` : `${duration(from)} to ${duration(to)}`;
  return { label, tone: to === null ? "bad" : from >= DAY ? "warn" : "accent" };
}

function Bars({ title, whole, bars }: { title: string; whole: number; bars: Bar[] }) {
  const shown = bars.filter(({ breaks }) => breaks > 0);
  const most = Math.max(1, ...shown.map(({ breaks }) => breaks));
  return (
    <Card title={title} aside="now, share of all" bare>
      {shown.length === 0 ? (
        <Empty title="No break is open" />
      ) : (
        <ul className="p-2">
          {shown.map(({ key, label, breaks, tone, search }) => (
            <li key={key}>
              <Link
                to="/exceptions"
                search={{ state: "OPEN", ...search }}
                className="group grid grid-cols-[1fr_auto_4.5rem] items-baseline gap-x-3 rounded-md px-2 pt-1.5 pb-2 text-sm hover:bg-hover"
              >
                <span className="truncate group-hover:underline">
                  {label}
                  <span className="sr-only">: </span>
                </span>
                <span className="figures font-medium">
                  {count(breaks)} <span className="sr-only">open, </span>
                </span>
                <span className="figures text-right text-ink-2">{share(breaks, whole)}</span>
                <span aria-hidden className="col-span-3 mt-1 h-1.5 overflow-hidden rounded-full bg-sunken">
                  <span className={`block h-full min-w-0.5 rounded-full ${BARS[tone]}`} style={{ width: `${(breaks / most) * 100}%` }} />
                </span>
              </Link>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
