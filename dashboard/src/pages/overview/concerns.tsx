/** What needs somebody, the gravest first; or that nothing does. */

import { Link } from "@tanstack/react-router";
import { AlertTriangle, CheckCircle2, CircleAlert } from "lucide-react";
import type { ReactNode } from "react";
import type { Schema } from "@/api/client.ts";
import { useLinkState, useLiveStatus } from "@/app/context.ts";
import { classes } from "@/components/ui.tsx";
import { Instant } from "@/components/values.tsx";
import { duration } from "@/lib/time.ts";
import { plural } from "@/lib/words.ts";
import { feedName } from "../system/progress.ts";
import { concerns, type Concern } from "./figures.ts";

interface ConcernsProps {
  status: Schema["Status"];
  open: Schema["OpenBreaks"];
  /** Whether both are older than they should be: then they say nothing about now. */
  isStale: boolean;
}

export function Concerns({ status, open, isStale }: ConcernsProps) {
  const link = useLinkState();
  const live = useLiveStatus();
  const found = concerns(status, open).map((concern) => <Line key={JSON.stringify(concern)} isGrave={isGrave(concern)} {...sentence(concern)} />);
  if (isStale) found.unshift(<Line key="stale" isGrave text="The server does not answer: what stands here is as it was at the last update." />);
  if (link === "reconnecting") found.push(<Line key="link" text="The live link is broken and is being restored; figures are asked for every 15 seconds meanwhile." />);
  else if (live?.live === false) found.push(<Line key="live" text={`The live feed is delayed: ${live.reason ?? "the server does not say why"}.`} />);
  return (
    <ul aria-label="What needs somebody" className="overflow-hidden rounded-lg border border-line bg-surface text-sm">
      {found.length ? (
        found
      ) : (
        <li className="flex items-center gap-3 px-4 py-2.5">
          <CheckCircle2 aria-hidden className="size-4.5 shrink-0 text-good" />
          Nothing is urgent: every record is accounted for, every feed goes on, nothing waits long, and no critical break is open.
        </li>
      )}
    </ul>
  );
}

function Line({ isGrave = false, text, action }: { isGrave?: boolean; text: ReactNode; action?: ReactNode }) {
  const Icon = isGrave ? AlertTriangle : CircleAlert;
  return (
    <li className={classes("flex flex-wrap items-center gap-x-3 gap-y-1 border-line px-4 py-2.5 not-first:border-t", isGrave ? "bg-bad-soft" : "bg-warn-soft")}>
      <Icon aria-hidden className={classes("size-4.5 shrink-0", isGrave ? "text-bad" : "text-warn")} />
      <span className="min-w-0 flex-1">{text}</span>
      {action}
    </li>
  );
}

const isGrave = ({ kind }: Concern) => kind === "violated" || kind === "critical" || kind === "standing";

const GO = "font-medium whitespace-nowrap text-accent underline underline-offset-2";

const TO_SYSTEM = (
  <Link to="/system" className={GO}>
    See the system
  </Link>
);

function sentence(concern: Concern): { text: ReactNode; action?: ReactNode } {
  switch (concern.kind) {
    case "violated":
      return {
        text: `Not every record is accounted for. This does not hold: ${concern.checks.join("; ")}.`,
        action: TO_SYSTEM,
      };
    case "critical":
      return {
        text: `${plural(concern.breaks, "critical break")} ${concern.breaks === 1 ? "is" : "are"} open.`,
        action: (
          <Link to="/exceptions" search={{ state: "OPEN", severity: ["CRITICAL"] }} className={GO}>
            Work on them
          </Link>
        ),
      };
    case "standing":
      return {
        text: concern.partitions.length
          ? `Of ${feedName(concern.topic)}, nothing of ${plural(concern.partitions.length, "partition")} (${concern.partitions.join(", ")}) is stored, though records wait there and others go on.`
          : `${plural(concern.lag, "record")} of ${feedName(concern.topic)} ${concern.lag === 1 ? "waits" : "wait"}, and none was stored within the last minute.`,
        action: TO_SYSTEM,
      };
    case "stalled":
      return {
        text: (
          <>
            The feed {feedName(concern.topic)} is stalled: its last record was stored <Instant at={concern.storedAt} as="ago" />, while others go on.
          </>
        ),
      };
    case "never":
      return { text: `Nothing has ever come from ${concern.topics.map(feedName).join(", ")}.` };
    case "silent":
      return {
        text: (
          <>
            All feeds are silent: the last record was stored <Instant at={concern.storedAt} as="ago" />.
          </>
        ),
      };
    case "behind":
      return { text: `What waits in ${feedName(concern.topic)} will take ${duration(concern.seconds)} to store at the present pace.` };
    case "unreachable":
      return { text: "Kafka did not answer at the last check, so it is not known how much waits." };
    case "unchecked":
      return {
        text: concern.checkedAt ? (
          <>
            It is not known whether every record is accounted for: the oldest check was made <Instant at={concern.checkedAt} as="ago" />.
          </>
        ) : (
          "It is not known whether every record is accounted for: nothing has been checked yet."
        ),
      };
  }
}
