import { CircleSlash, Equal, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import type { Schema } from "@/api/client.ts";
import { Scrollable } from "@/components/scrollable.tsx";
import { Card, Tooltip, classes } from "@/components/ui.tsx";
import { Instant, Money } from "@/components/values.tsx";
import { useIsNarrow } from "@/lib/narrow.ts";
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
  occurred_at: (leg) => <Instant at={leg.occurred_at} as="precise" />,
};

/** What was recorded beside what was said. */
const EVIDENCE: { label: string; of: (leg: Leg) => ReactNode }[] = [
  { label: "Event id", of: (leg) => <span className="font-mono text-[0.92em] break-all">{leg.event_id}</span> },
  { label: "Source revision", of: (leg) => <span className="figures">{leg.revision}</span> },
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

const labelOf = (name: string) => (name === "amount_minor" ? "Amount" : field(name));

interface LegsProps {
  legs: Record<string, Leg | null>;
  breaks: readonly Schema["BreakView"][];
  /** Legs or statuses may still come in time. */
  isPending: boolean;
}

/** The three sides beside each other, under each other where there is little room; what differs is marked by colour, picture and word. */
export function Legs(props: LegsProps) {
  const isNarrow = useIsNarrow();
  return (
    <Card title="What each source says" bare>
      {isNarrow ? <UnderEachOther {...props} /> : <BesideEachOther {...props} />}
    </Card>
  );
}

function BesideEachOther({ legs, breaks, isPending }: LegsProps) {
  return (
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
          {compare(legs, breaks, isPending).map((row) => (
            <tr key={row.field} className="border-b border-line">
              <th scope="row" className="px-4 py-2.5 text-left align-top font-medium text-ink-2">
                {labelOf(row.field)}
              </th>
              {row.cells.map((cell) => (
                <td key={cell.source} className={classes("px-4 py-2.5 align-top", cell.mark === "break" && "bg-bad-soft")}>
                  <Compared cell={cell} show={SHOWN[row.field]} />
                </td>
              ))}
            </tr>
          ))}
          {EVIDENCE.map(({ label, of }) => (
            <tr key={label} className="border-b border-line bg-sunken/50 last:border-0">
              <th scope="row" className="px-4 py-2 text-left align-top text-xs font-medium text-ink-2">
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
  );
}

function UnderEachOther({ legs, breaks, isPending }: LegsProps) {
  return (
    <>
      {compare(legs, breaks, isPending).map((row) => (
        <section key={row.field} aria-label={labelOf(row.field)} className="border-b border-line py-2 text-sm last:border-0">
          <h3 className="px-4 pb-1 text-xs font-medium text-ink-2">{labelOf(row.field)}</h3>
          <dl>
            {row.cells.map((cell) => (
              <div key={cell.source} className={classes("grid grid-cols-[4.5rem_minmax(0,1fr)] gap-3 px-4 py-1", cell.mark === "break" && "bg-bad-soft")}>
                <dt className="text-ink-2">{source(cell.source)}</dt>
                <dd>
                  <Compared cell={cell} show={SHOWN[row.field]} />
                </dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
      {EVIDENCE.map(({ label, of }) => (
        <section key={label} aria-label={label} className="border-b border-line bg-sunken/50 py-2 text-xs text-ink-2 last:border-0">
          <h3 className="px-4 pb-1 font-medium">{label}</h3>
          <dl>
            {SOURCE_ORDER.map((name) => (
              <div key={name} className="grid grid-cols-[4.5rem_minmax(0,1fr)] gap-3 px-4 py-0.5">
                <dt>{source(name)}</dt>
                <dd>{legs[name] ? of(legs[name]) : "–"}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
    </>
  );
}

/** What a source says of a field, with its mark. */
function Compared({ cell, show }: { cell: Cell; show: ((leg: Leg) => ReactNode) | undefined }) {
  if (!cell.leg || !show) {
    return (
      <span className="text-ink-3">
        <CircleSlash aria-hidden className="mr-1.5 inline size-3.5" />
        <span className="sr-only">not reported</span>–
      </span>
    );
  }
  return (
    <span className="flex items-baseline gap-2">
      <span className="min-w-0 flex-1">{show(cell.leg)}</span>
      {cell.mark === "break" && (
        <span className="text-xs font-medium whitespace-nowrap text-bad">
          <TriangleAlert aria-hidden className="inline size-3.5 align-[-0.2em]" /> differs
        </span>
      )}
      {cell.mark === "undecided" && <span className="text-xs text-ink-2">differs, not judged yet</span>}
      {cell.mark === "tolerated" && (
        <Tooltip text="It differs from the others, and no break is open about it: the rules tolerate it, or it was resolved.">
          <button type="button" className="text-xs whitespace-nowrap text-ink-3">
            <Equal aria-hidden className="inline size-3.5 align-[-0.2em]" /> tolerated
          </button>
        </Tooltip>
      )}
    </span>
  );
}
