/** Values as they are shown everywhere: amounts, instants, verdicts, severities. */

import { AlertTriangle, Ban, CheckCircle2, ChevronDown, ChevronUp, ChevronsUp, CircleDashed, Clock, Equal, XCircle, type LucideIcon } from "lucide-react";
import { usePreferences } from "@/lib/preferences.ts";
import { useNow } from "@/lib/clock.ts";
import { figure, signed, type Amount } from "@/lib/money.ts";
import { ago, clock, day, instant } from "@/lib/time.ts";
import { severity, verdict } from "@/lib/words.ts";
import { Badge, Tooltip, classes } from "./ui.tsx";

/** An amount: digits under each other, the currency beside them. */
export function Money({ amount, withSign, className }: { amount: Amount | null | undefined; withSign?: boolean; className?: string }) {
  if (!amount) return <span className="text-ink-3">–</span>;
  return (
    <span className={classes("figures whitespace-nowrap", className)}>
      {withSign ? signed(amount).slice(0, -amount.currency.length - 1) : figure(amount)}{" "}
      <span className="text-[0.85em] text-ink-3">{amount.currency}</span>
    </span>
  );
}

/** An instant; both zones stand in the tooltip. */
export function Instant({ at, as = "full" }: { at: string | null | undefined; as?: "full" | "short" | "clock" | "ago" }) {
  const { zone } = usePreferences();
  if (!at) return <span className="text-ink-3">–</span>;
  const text = {
    full: () => instant(at, zone),
    // for lists of what is recent: month and day, the rest is in the tooltip
    short: () => `${day(at, zone).slice(5)} ${clock(at, zone)}`,
    clock: () => clock(at, zone, true),
    ago: () => <Ago at={at} />,
  }[as]();
  return (
    <Tooltip
      text={
        <>
          <div className="figures">{instant(at, "utc")}</div>
          <div className="figures">
            {day(at, "local")} {instant(at, "local").slice(11)} here
          </div>
        </>
      }
    >
      <time dateTime={at} className="figures whitespace-nowrap">
        {text}
      </time>
    </Tooltip>
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
    <Badge tone={word.tone} icon={SEVERITY_ICONS[code] ?? ChevronUp} className={code === "CRITICAL" ? "ring-1 ring-bad/50" : undefined}>
      {word.label}
    </Badge>
  );
}
