import { majorOf, type Amount } from "@/lib/money.ts";
import { source } from "@/lib/words.ts";
import { Instant } from "./values.tsx";

interface EvidenceProps {
  /** The break: its field says what the value is, its difference in which unit amounts are. */
  of: { field: string; delta: Amount | null };
  value: string | null;
  /** In a list, where day and currency stand beside it. */
  isShort?: boolean;
}

/** `expected` and `actual` of a break as the API tells them: minor units, epoch milliseconds or words; of all sources, "CORE=1;GATEWAY=2". */
export function Evidence({ of, value, isShort = false }: EvidenceProps) {
  if (value === null || value === "") return <span className="text-ink-3">–</span>;
  const said = /^(CORE|GATEWAY|MOBILE)=/.test(value) ? value.split(";").map((part) => part.split("=", 2)) : [[undefined, value]];
  return (
    <>
      {said.map(([name, each = ""]) => (
        <span key={name ?? ""} className={name && "block whitespace-nowrap"}>
          {name && <span className="text-xs text-ink-2">{source(name)} </span>}
          <One of={of} value={each} isShort={isShort} />
        </span>
      ))}
    </>
  );
}

function One({ of: { field, delta }, value, isShort }: EvidenceProps & { value: string }) {
  if (field === "occurred_at" && /^\d{1,15}$/.test(value)) return <Instant at={new Date(Number(value)).toISOString()} as={isShort ? "clock" : "precise"} />;
  if (field === "amount_minor" && delta && /^-?\d+$/.test(value)) {
    return (
      <span className="figures whitespace-nowrap">
        {majorOf(value, delta)}
        {!isShort && <span className="text-[0.85em] text-ink-3"> {delta.currency}</span>}
      </span>
    );
  }
  return <span className="break-words">{value}</span>;
}
