/** How far the sink has stored each topic, and how much waits. */

import type { Schema } from "@/api/client.ts";
import { Scrollable } from "@/components/scrollable.tsx";
import { Empty } from "@/components/states.tsx";
import { Badge } from "@/components/ui.tsx";
import { Instant } from "@/components/values.tsx";
import { count, grouped } from "@/lib/money.ts";
import { useIsNarrow } from "@/lib/narrow.ts";
import { duration } from "@/lib/time.ts";
import type { Tone } from "@/lib/words.ts";
import { feedName, progressOf, type Progress } from "./progress.ts";

const CELL = "px-4 py-2 text-right whitespace-nowrap";

export function TopicTable({ topics, withOffsets = false }: { topics: readonly Schema["TopicView"][]; withOffsets?: boolean }) {
  const isNarrow = useIsNarrow();
  if (topics.length === 0) return <Empty title="Nothing has been stored yet" />;
  if (isNarrow) {
    return (
      <ul>
        {topics.map((topic) => (
          <li key={topic.topic} className="border-t border-line px-4 py-2.5 text-sm first:border-t-0">
            <p className="flex items-center justify-between gap-3">
              <Name topic={topic} withOffsets={withOffsets} />
              <State progress={progressOf(topic, topics)} />
            </p>
            <p className="figures pt-1 text-xs text-ink-2">
              {topic.per_second !== null && `${grouped(topic.per_second.toFixed(1))} a second, `}
              {topic.lag === null ? "not known how many wait" : `${count(topic.lag)} waiting`}
              {withOffsets && `, offset ${grouped(topic.offset)}`}, stored <Instant at={topic.stored_at} as="ago" />
            </p>
          </li>
        ))}
      </ul>
    );
  }
  return (
    <Scrollable label={withOffsets ? "Topics: table" : "Feeds: table"}>
      <table className="figures w-full text-sm">
        <thead className="text-xs text-ink-2">
          <tr className="border-b border-line">
            <th scope="col" className="px-4 py-2 text-left font-medium">
              {withOffsets ? "Topic" : "Feed"}
            </th>
            <th scope="col" className="px-4 py-2 text-left font-medium">
              State
            </th>
            <th scope="col" className={`${CELL} font-medium`}>
              Stored a second
            </th>
            <th scope="col" className={`${CELL} font-medium`}>
              Waiting
            </th>
            {withOffsets && (
              <th scope="col" className={`${CELL} font-medium`}>
                Offset
              </th>
            )}
            <th scope="col" className={`${CELL} font-medium`}>
              Last stored
            </th>
          </tr>
        </thead>
        <tbody>
          {topics.map((topic) => (
            <tr key={topic.topic} className="border-t border-line first:border-t-0">
              <th scope="row" className="px-4 py-2 text-left font-medium whitespace-nowrap">
                <Name topic={topic} withOffsets={withOffsets} />
              </th>
              <td className="px-4 py-2">
                <State progress={progressOf(topic, topics)} />
              </td>
              <td className={CELL}>{topic.per_second === null ? "–" : grouped(topic.per_second.toFixed(1))}</td>
              <td className={CELL}>{topic.lag === null ? "not known" : count(topic.lag)}</td>
              {withOffsets && <td className={CELL}>{grouped(topic.offset)}</td>}
              <td className={`${CELL} text-ink-2`}>
                <Instant at={topic.stored_at} as="ago" />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scrollable>
  );
}

/** Each by itself: one that stands still hides behind the sums of its topic. */
export function Partitions({ topics }: { topics: readonly Schema["TopicView"][] }) {
  const rows = topics.flatMap((topic) => topic.partitions.map((each) => ({ topic: topic.topic, ...each })));
  if (!rows.length) return null;
  return (
    <details className="border-t border-line">
      <summary className="cursor-pointer px-4 py-2.5 text-sm font-medium hover:bg-hover">By partition</summary>
      <Scrollable label="Partitions: table">
        <table className="figures w-full text-sm">
          <thead className="text-xs text-ink-2">
            <tr className="border-y border-line">
              <th scope="col" className="px-4 py-2 text-left font-medium">
                Topic
              </th>
              {["Partition", "Waiting", "Offset", "Last stored"].map((name) => (
                <th key={name} scope="col" className={`${CELL} font-medium`}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ topic, partition, lag, offset, stored_at: at }) => (
              <tr key={`${topic}/${partition}`} className="border-t border-line first:border-t-0">
                <th scope="row" className="px-4 py-1.5 text-left font-mono text-[0.92em] font-normal whitespace-nowrap">
                  {topic}
                </th>
                <td className={CELL}>{partition}</td>
                <td className={CELL}>{lag === null ? "not known" : count(lag)}</td>
                <td className={CELL}>{grouped(offset)}</td>
                <td className={`${CELL} text-ink-2`}>
                  <Instant at={at} as="ago" />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scrollable>
    </details>
  );
}

function Name({ topic: { topic }, withOffsets }: { topic: Schema["TopicView"]; withOffsets: boolean }) {
  return withOffsets ? <span className="font-mono text-[0.92em] font-medium">{topic}</span> : <span className="font-medium">{feedName(topic)}</span>;
}

const STATES: Record<Exclude<Progress["kind"], "behind">, [Tone, string]> = {
  standing: ["bad", "Stands still"],
  stalled: ["bad", "Stalled"],
  never: ["warn", "Never seen"],
  unmeasured: ["quiet", "Not measured yet"],
  moving: ["good", "Moving"],
  quiet: ["quiet", "Quiet"],
};

function State({ progress }: { progress: Progress }) {
  const [tone, text]: [Tone, string] = progress.kind === "behind" ? ["warn", `${duration(progress.seconds)} behind`] : STATES[progress.kind];
  return <Badge tone={tone}>{text}</Badge>;
}
