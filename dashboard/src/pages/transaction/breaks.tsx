import type { Schema } from "@/api/client.ts";
import { Evidence } from "@/components/evidence.tsx";
import { Scrollable } from "@/components/scrollable.tsx";
import { Badge, Card, classes } from "@/components/ui.tsx";
import { Money, Severity } from "@/components/values.tsx";
import { breakClass, readable, source } from "@/lib/words.ts";

type Break = Schema["BreakView"];

/** Every break there was, open ones first. `chosen`: the one that the reader came for. */
export function Breaks({ breaks, chosen }: { breaks: readonly Break[]; chosen: string | undefined }) {
  if (!breaks.length) return null;
  const sorted = [...breaks].sort((a, b) => Number(a.state !== "OPEN") - Number(b.state !== "OPEN"));
  return (
    <Card title="Breaks" bare>
      <Scrollable label="Breaks of the transaction">
        <table className="w-full min-w-180 text-sm">
          <thead>
            <tr className="border-b border-line text-left text-xs text-ink-2">
              {["State", "Severity", "Class", "Odd one out", "Expected", "Says", "Difference"].map((name) => (
                <th key={name} scope="col" className={classes("px-4 py-2.5 font-medium", name === "Difference" && "text-right")}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {sorted.map((each) => (
              <tr key={each.break_id} className={classes("border-b border-line last:border-0", each.break_id === chosen && "bg-chosen")}>
                <td className="px-4 py-2.5">
                  <Badge tone={each.state === "OPEN" ? "bad" : "good"}>{readable(each.state)}</Badge>
                  {each.resolution && <span className="ml-2 text-xs text-ink-2">{readable(each.resolution)}</span>}
                </td>
                <td className="px-4 py-2.5">
                  <Severity code={each.severity} />
                </td>
                <td className="px-4 py-2.5">
                  {breakClass(each.class)}
                  {each.subtype && <span className="block text-xs text-ink-2">{readable(each.subtype)}</span>}
                </td>
                <td className="px-4 py-2.5">{source(each.subject)}</td>
                <td className="px-4 py-2.5">
                  <Evidence of={each} value={each.expected} />
                </td>
                <td className="px-4 py-2.5">
                  <Evidence of={each} value={each.actual} />
                </td>
                <td className="px-4 py-2.5 text-right">
                  <Money amount={each.delta} withSign />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scrollable>
    </Card>
  );
}
