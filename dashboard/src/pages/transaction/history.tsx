import type { Schema } from "@/api/client.ts";
import { Badge, Card } from "@/components/ui.tsx";
import { Instant, Verdict } from "@/components/values.tsx";
import { duration } from "@/lib/time.ts";
import { breakClass, plural, readable, source, type Tone } from "@/lib/words.ts";
import { timeline } from "./history.ts";
import { PlaceText } from "./legs.tsx";

const MOVES: Record<string, Tone> = { OPENED: "bad", REOPENED: "bad", RESOLVED: "good", CHANGED: "warn" };

/** How the verdict came to be, newest first. */
export function History({ data }: { data: Schema["Transaction"] }) {
  return (
    <Card title="How the verdict came to be">
      <ol className="flex flex-col">
        {timeline(data).map(({ revision, moves, secondsAfter }) => (
          <li key={revision.revision} className="relative border-l-2 border-line pb-6 pl-5 last:pb-0">
            <span aria-hidden className="absolute top-1.5 -left-[7px] size-3 rounded-full border-2 border-surface bg-line-strong" />
            <p className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm">
              <span className="font-medium">
                Revision <span className="figures">{revision.revision}</span>
              </span>
              <Verdict code={revision.verdict} />
              <span className="text-ink-2">{plural(revision.legs, "leg")}</span>
              <span className="text-ink-2">
                <Instant at={revision.decided_at} as="precise" />
                {secondsAfter !== null && <span className="text-ink-3"> ({secondsAfter < 1 ? `${Math.round(secondsAfter * 1000)} ms` : duration(secondsAfter)} later)</span>}
              </span>
            </p>
            {moves.length > 0 && (
              <ul className="flex flex-col gap-1 pt-2">
                {moves.map((move) => (
                  <li key={move.break_id} className="flex flex-wrap items-center gap-2 text-sm">
                    <Badge tone={MOVES[move.move] ?? "quiet"}>{readable(move.move)}</Badge>
                    {breakClass(move.class)}, {source(move.subject)}
                    {move.resolution && <span className="text-ink-2">· {readable(move.resolution).toLowerCase()}</span>}
                  </li>
                ))}
              </ul>
            )}
            <p className="pt-1 text-xs text-ink-3">
              <PlaceText place={revision.place} /> · rules {revision.rules_version}
            </p>
          </li>
        ))}
      </ol>
    </Card>
  );
}
