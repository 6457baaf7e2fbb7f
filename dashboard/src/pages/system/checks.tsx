/** The invariants that the sink checks every minute, and what they found. */

import type { Schema } from "@/api/client.ts";
import { Scrollable } from "@/components/scrollable.tsx";
import { Empty } from "@/components/states.tsx";
import { Badge } from "@/components/ui.tsx";
import { Instant } from "@/components/values.tsx";
import { count } from "@/lib/money.ts";

const CELL = "px-4 py-2 text-right whitespace-nowrap";

/** What does not hold stands first. */
export function Checks({ checks }: { checks: readonly Schema["CheckView"][] }) {
  if (checks.length === 0) return <Empty title="Nothing has been checked yet">The sink checks every minute while it runs.</Empty>;
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
          {checks
            .toSorted((a, b) => Number(a.holds) - Number(b.holds))
            .map((check) => (
              <tr key={check.name} className="border-t border-line align-top first:border-t-0">
                <th scope="row" className="min-w-56 px-4 py-2 text-left font-normal">
                  {check.title}
                  {check.examples.length > 0 && (
                    <ul className="pt-1 font-mono text-xs break-all text-bad">
                      {check.examples.map((example) => (
                        <li key={example}>{example}</li>
                      ))}
                    </ul>
                  )}
                </th>
                <td className="px-4 py-2">
                  <Badge tone={check.holds ? "good" : "bad"}>{check.holds ? "Yes" : "No"}</Badge>
                </td>
                <td className={CELL}>{count(check.examined)}</td>
                <td className={check.violations ? `${CELL} font-medium text-bad` : CELL}>{count(check.violations)}</td>
                <td className={`${CELL} text-ink-2`}>
                  <Instant at={check.checked_at} as="ago" />
                  {!check.holds && (
                    <div className="text-xs">{check.held_at ? <>held <Instant at={check.held_at} as="ago" /></> : "has never held"}</div>
                  )}
                </td>
              </tr>
            ))}
        </tbody>
      </table>
    </Scrollable>
  );
}
