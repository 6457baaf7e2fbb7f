import { CircleSlash, Equal, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import type { Schema } from "@/api/client.ts";
import { Scrollable } from "@/components/scrollable.tsx";
import { Card, Tooltip, classes } from "@/components/ui.tsx";
import { Instant, Money } from "@/components/values.tsx";
import { field, readable, source } from "@/lib/words.ts";
import { compare, SOURCE_ORDER, type Cell } from "./compare.ts";

type Leg = Schema["LegView"];

const SHOWN: Record<string, (leg: Leg) => ReactNode> = {
  amount_minor: (leg) => <Money amount={leg.amount} className="font-medium" />,
  direction: (leg) => readable(leg.direction),
  status: (leg) => (
    <>
      {readable(leg.canonical_status)} <span className="text-xs text-ink-3">“{leg.status}”</span>
    </>
  ),
  account: (leg) => <span className="font-mono text-[0.92em] break-all">{leg.account}</span>,
  reference: (leg) => (leg.reference ? <span className="break-all">{leg.reference}</span> : <span className="text-ink-3">none</span>),
  occurred_at: (leg) => <Instant at={leg.occurred_at} />,
};

/** What was recorded beside what was said. */
const EVIDENCE: { label: string; of: (leg: Leg) => ReactNode }[] = [
  { label: "Event id", of: (leg) => <span className="font-mono text-[0.92em] break-all">{leg.event_id}</span> },
  { label: "Revision of the source", of: (leg) => <span className="figures">{leg.revision}</span> },
  { label: "Kafka record", of: (leg) => <PlaceText place={leg.place} /> },
  { label: "Schema", of: (leg) => <span className="figures">{leg.schema_id}</span> },
];

export function PlaceText({ place }: { place: Schema["Place"] }) {
  return (
    <span className="font-mono text-[0.92em] break-all">
      {place.topic}/{place.partition}/{place.offset}
    </span>
  );
}

/** The three sides beside each other; what differs is marked by colour, picture and word. */
export function Legs({ legs, breaks }: { legs: Record<string, Leg | null>; breaks: readonly Schema["BreakView"][] }) {
  return (
    <Card title="Three sides" bare>
      <Scrollable label="Comparison of the three sides">
        <table className="w-full min-w-160 table-fixed text-sm">
          <thead>
            <tr className="border-b border-line text-left text-xs text-ink-2">
              <th scope="col" className="w-36 px-4 py-2.5 font-medium">
                Field
              </th>
              {SOURCE_ORDER.map((name) => (
                <th key={name} scope="col" className="px-4 py-2.5 font-semibold text-ink">
                  {source(name)}
                  {!legs[name] && <span className="ml-2 font-normal text-ink-3">has not come</span>}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {compare(legs, breaks).map((row) => (
              <tr key={row.field} className="border-b border-line">
                <th scope="row" className="px-4 py-2.5 text-left font-medium text-ink-2">
                  {row.field === "amount_minor" ? "Amount" : field(row.field)}
                </th>
                {row.cells.map((cell) => (
                  <ComparedCell key={cell.source} cell={cell} show={SHOWN[row.field]} />
                ))}
              </tr>
            ))}
            {EVIDENCE.map(({ label, of }) => (
              <tr key={label} className="border-b border-line bg-sunken/50 last:border-0">
                <th scope="row" className="px-4 py-2 text-left text-xs font-medium text-ink-2">
                  {label}
                </th>
                {SOURCE_ORDER.map((name) => (
                  <td key={name} className="px-4 py-2 align-top text-xs text-ink-2">
                    {legs[name] ? of(legs[name]) : "–"}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </Scrollable>
    </Card>
  );
}

function ComparedCell({ cell, show }: { cell: Cell; show: ((leg: Leg) => ReactNode) | undefined }) {
  if (!cell.leg || !show) {
    return (
      <td className="px-4 py-2.5 text-ink-3">
        <CircleSlash aria-hidden className="mr-1.5 inline size-3.5" />
        <span className="sr-only">not reported</span>–
      </td>
    );
  }
  return (
    <td className={classes("px-4 py-2.5 align-top", cell.mark === "break" && "bg-bad-soft")}>
      <span className="flex items-start gap-2">
        <span className="min-w-0 flex-1">{show(cell.leg)}</span>
        {cell.mark === "break" && (
          <span className="flex items-center gap-1 text-xs font-medium text-bad">
            <TriangleAlert aria-hidden className="size-3.5" /> differs
          </span>
        )}
        {cell.mark === "tolerated" && (
          <Tooltip text="It differs from the others, and no break is open about it: the rules tolerate it, or it was resolved.">
            <button type="button" className="flex items-center gap-1 text-xs text-ink-3">
              <Equal aria-hidden className="size-3.5" /> tolerated
            </button>
          </Tooltip>
        )}
      </span>
    </td>
  );
}
