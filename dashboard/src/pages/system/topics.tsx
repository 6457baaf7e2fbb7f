/** How far the sink has stored each topic, and how much waits. */

import type { Schema } from "@/api/client.ts";
import { Scrollable } from "@/components/scrollable.tsx";
import { Empty } from "@/components/states.tsx";
import { Badge } from "@/components/ui.tsx";
import { Instant } from "@/components/values.tsx";
import { count, grouped } from "@/lib/money.ts";
import { duration } from "@/lib/time.ts";
import type { Tone } from "@/lib/words.ts";
import { behindSeconds, feedName, isBehind, stalled } from "../overview/figures.ts";

const CELL = "px-4 py-2 text-right whitespace-nowrap";

export function TopicTable({ topics, withOffsets }: { topics: readonly Schema["TopicView"][]; withOffsets?: boolean }) {
  const still = stalled(topics);
  if (topics.length === 0) return <Empty title="Nothing has been stored yet" />;
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
                {withOffsets ? <span className="font-mono text-xs">{topic.topic}</span> : feedName(topic.topic)}
              </th>
              <td className="px-4 py-2">
                <State topic={topic} isStalled={still.includes(topic)} />
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

function State({ topic, isStalled }: { topic: Schema["TopicView"]; isStalled: boolean }) {
  const [tone, text]: [Tone, string] = isStalled
    ? ["bad", "Stalled"]
    : isBehind(topic)
      ? ["warn", `${duration(behindSeconds(topic) ?? 0)} behind`]
      : topic.per_second
        ? ["good", "Moving"]
        : ["quiet", "Quiet"];
  return <Badge tone={tone}>{text}</Badge>;
}
