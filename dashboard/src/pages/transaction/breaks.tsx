import { useEffect, useRef } from "react";
import type { Schema } from "@/api/client.ts";
import { Evidence } from "@/components/evidence.tsx";
import { Scrollable } from "@/components/scrollable.tsx";
import { Badge, Card, classes } from "@/components/ui.tsx";
import { Money, Severity } from "@/components/values.tsx";
import { useIsNarrow } from "@/lib/narrow.ts";
import { breakClass, readable, source } from "@/lib/words.ts";

type Break = Schema["BreakView"];

/** Every break there was, open ones first. `chosen`: the one that the reader came for. */
export function Breaks({ breaks, chosen }: { breaks: readonly Break[]; chosen: string | undefined }) {
  const isNarrow = useIsNarrow();
  const place = useRef<HTMLElement>(null);
  useEffect(() => {
    // new browsers return a promise, which is no clean-up
    place.current?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  const take = (id: string) => (id === chosen ? (element: HTMLElement | null) => void (place.current = element) : undefined);
  if (!breaks.length) return null;
  const sorted = [...breaks].sort((a, b) => Number(a.state !== "OPEN") - Number(b.state !== "OPEN"));
  if (isNarrow) {
    return (
      <Card title="Breaks" bare>
        <ul>
          {sorted.map((each) => (
            <li key={each.break_id} ref={take(each.break_id)} className={classes("flex flex-col gap-1.5 border-b border-line px-4 py-3 text-sm last:border-0", each.break_id === chosen && "bg-chosen")}>
              <p className="flex flex-wrap items-center gap-2">
                <State of={each} isChosen={each.break_id === chosen} />
                <span className="ml-auto">
                  <Severity code={each.severity} />
                </span>
              </p>
              <p>
                <Kind of={each} />, {source(each.subject)}
              </p>
              <p>
                <span className="text-ink-2">
                  expected <Evidence of={each} value={each.expected} />, says
                </span>{" "}
                <Evidence of={each} value={each.actual} />
              </p>
              {each.delta && (
                <p className="text-ink-2">
                  Difference <Money amount={each.delta} withSign className="font-medium text-ink" />
                </p>
              )}
            </li>
          ))}
        </ul>
      </Card>
    );
  }
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
              <tr key={each.break_id} ref={take(each.break_id)} className={classes("border-b border-line last:border-0", each.break_id === chosen && "bg-chosen")}>
                <td className="px-4 py-2.5">
                  <State of={each} isChosen={each.break_id === chosen} />
                </td>
                <td className="px-4 py-2.5">
                  <Severity code={each.severity} />
                </td>
                <td className="px-4 py-2.5">
                  <Kind of={each} />
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

function State({ of: { state, resolution }, isChosen }: { of: Break; isChosen: boolean }) {
  return (
    <>
      <Badge tone={state === "OPEN" ? "bad" : "good"}>{readable(state)}</Badge>
      {resolution && <span className="ml-2 text-xs text-ink-2">{readable(resolution)}</span>}
      {isChosen && <span className="sr-only"> (the one you came from)</span>}
    </>
  );
}

function Kind({ of: { class: code, subtype } }: { of: Break }) {
  return (
    <>
      {breakClass(code)}
      {subtype && <span className="text-xs text-ink-2 md:block"> {readable(subtype)}</span>}
    </>
  );
}
