/** The invariants that the sink checks every minute, and what they found. */

import type { Schema } from "@/api/client.ts";
import { Scrollable } from "@/components/scrollable.tsx";
import { Empty } from "@/components/states.tsx";
import { Badge } from "@/components/ui.tsx";
import { Instant } from "@/components/values.tsx";
import { count } from "@/lib/money.ts";
import { useIsNarrow } from "@/lib/narrow.ts";
import { plural } from "@/lib/words.ts";

const CELL = "px-4 py-2 text-right whitespace-nowrap";

/** What does not hold stands first. */
export function Checks({ checks }: { checks: readonly Schema["CheckView"][] }) {
  const isNarrow = useIsNarrow();
  if (checks.length === 0) return <Empty title="Nothing has been checked yet">The sink checks every minute while it runs.</Empty>;
  const sorted = checks.toSorted((a, b) => Number(a.holds) - Number(b.holds));
  if (isNarrow) {
    return (
      <ul>
        {sorted.map((check) => (
          <li key={check.name} className="flex items-start justify-between gap-3 border-t border-line px-4 py-2.5 text-sm first:border-t-0">
            <div className="min-w-0">
              <Title check={check} />
              <p className="figures pt-0.5 text-xs text-ink-2">
                {count(check.examined)} examined, {plural(check.violations, "violation")}, <Checked check={check} />
              </p>
            </div>
            <Holds check={check} />
          </li>
        ))}
      </ul>
    );
  }
  return (
    <Scrollable label="Checks: table">
      <table className="figures w-full text-sm">
        <thead className="text-xs text-ink-2">
          <tr className="border-b border-line">
            <th scope="col" className="px-4 py-2 text-left font-medium">
              What must hold
            </th>
            <th scope="col" className="px-4 py-2 text-left font-medium">
              Holds
            </th>
            <th scope="col" className={`${CELL} font-medium`}>
              Examined
            </th>
            <th scope="col" className={`${CELL} font-medium`}>
              Violations
            </th>
            <th scope="col" className={`${CELL} font-medium`}>
              Checked
            </th>
          </tr>
        </thead>
        <tbody>
          {sorted.map((check) => (
            <tr key={check.name} className="border-t border-line align-top first:border-t-0">
              <th scope="row" className="min-w-56 px-4 py-2 text-left font-normal">
                <Title check={check} />
              </th>
              <td className="px-4 py-2">
                <Holds check={check} />
              </td>
              <td className={CELL}>{count(check.examined)}</td>
              <td className={check.violations ? `${CELL} font-medium text-bad` : CELL}>{count(check.violations)}</td>
              <td className={`${CELL} text-ink-2`}>
                <Checked check={check} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scrollable>
  );
}

interface CheckProps {
  check: Schema["CheckView"];
}

function Title({ check: { title, examples } }: CheckProps) {
  return (
    <>
      {title}
      {examples.length > 0 && (
        <ul className="pt-1 font-mono text-xs break-all text-bad">
          {examples.map((example) => (
            <li key={example}>{example}</li>
          ))}
        </ul>
      )}
    </>
  );
}

function Holds({ check: { holds } }: CheckProps) {
  return <Badge tone={holds ? "good" : "bad"}>{holds ? "Yes" : "No"}</Badge>;
}

function Checked({ check: { holds, checked_at, held_at } }: CheckProps) {
  return (
    <>
      <Instant at={checked_at} as="ago" />
      {!holds && <span className="block text-xs">{held_at ? <>held <Instant at={held_at} as="ago" /></> : "has never held"}</span>}
    </>
  );
}
