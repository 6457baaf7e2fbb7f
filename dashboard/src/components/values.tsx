/** Values as they are shown everywhere: amounts, instants, verdicts, severities. */

import { AlertTriangle, Ban, CheckCircle2, ChevronDown, ChevronUp, ChevronsUp, CircleDashed, Clock, Equal, XCircle, type LucideIcon } from "lucide-react";
import { usePreferences } from "@/lib/preferences.ts";
import { useNow } from "@/lib/clock.ts";
import { figure, signed, type Amount } from "@/lib/money.ts";
import { ago, clock, day, instant } from "@/lib/time.ts";
import { severity, verdict } from "@/lib/words.ts";
import { Badge, Tooltip, classes } from "./ui.tsx";

interface MoneyProps {
  amount: Amount | null | undefined;
  withSign?: boolean;
  /** Without its currency, where that stands beside it. */
  isBare?: boolean;
  className?: string;
}

/** An amount: digits under each other, the currency beside them. */
export function Money({ amount, withSign, isBare, className }: MoneyProps) {
  if (!amount) return <span className="text-ink-3">–</span>;
  return (
    <span className={classes("figures whitespace-nowrap", className)}>
      {withSign ? signed(amount) : figure(amount)}
      {!isBare && <span className="text-[0.85em] text-ink-3"> {amount.currency}</span>}
    </span>
  );
}

const TAIL = 8;

/** The id of a transaction: where there is no room for all of it, its middle is left out, because ids differ at their ends. */
export function TxnId({ id }: { id: string }) {
  return (
    <span title={id} className="flex min-w-0 font-mono text-[0.92em]">
      <span className="truncate">{id.slice(0, -TAIL)}</span>
      <span className="shrink-0">{id.slice(-TAIL)}</span>
    </span>
  );
}

/** An instant; both zones stand in the tooltip. */
export function Instant({ at, as = "full" }: { at: string | null | undefined; as?: "full" | "precise" | "short" | "clock" | "ago" }) {
  const { zone } = usePreferences();
  if (!at) return <span className="text-ink-3">–</span>;
  const text = {
    full: () => instant(at, zone),
    // for what is compared: feeds differ by milliseconds; day and time may stand under each other
    precise: () => instant(at, zone, true).replace(/ (?=\S+$)/, "\u00a0"),
    // for lists of what is recent: month and day, the rest is in the tooltip
    short: () => `${day(at, zone).slice(5)} ${clock(at, zone)}`,
    clock: () => clock(at, zone, true),
    ago: () => <Ago at={at} />,
  }[as]();
  return (
    <Tooltip text={<BothZones at={at} />}>
      <time dateTime={at} className={classes("figures", as !== "precise" && "whitespace-nowrap")}>
        {text}
      </time>
    </Tooltip>
  );
}

/** Worked out only once it is looked at: formatting is most of what a line of a list costs. */
function BothZones({ at }: { at: string }) {
  return (
    <>
      <div className="figures">{instant(at, "utc")}</div>
      <div className="figures">
        {day(at, "local")} {instant(at, "local").slice(11)} here
      </div>
    </>
  );
}

function Ago({ at }: { at: string }) {
  return ago(at, useNow());
}

const VERDICT_ICONS: Record<string, LucideIcon> = {
  PENDING: Clock, MATCHED: CheckCircle2, MATCHED_WITHIN_TOLERANCE: Equal, BROKEN: XCircle, ACCEPTED: CheckCircle2, VOID: Ban,
}; // prettier-ignore

export function Verdict({ code }: { code: string }) {
  const word = verdict(code);
  return (
    <Badge tone={word.tone} icon={VERDICT_ICONS[code] ?? CircleDashed}>
      {word.label}
    </Badge>
  );
}

const SEVERITY_ICONS: Record<string, LucideIcon> = { CRITICAL: AlertTriangle, HIGH: ChevronsUp, MEDIUM: ChevronUp, LOW: ChevronDown };

/** Shape and word say it too, never the colour alone. */
export function Severity({ code }: { code: string | null }) {
  if (!code) return <span className="text-ink-3">–</span>;
  const word = severity(code);
  return (
    <Badge tone={word.tone} icon={SEVERITY_ICONS[code] ?? ChevronUp} className={code === "CRITICAL" ? "ring-1 ring-bad/50 ring-inset" : undefined}>
      {word.label}
    </Badge>
  );
}
