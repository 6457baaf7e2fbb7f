/** What runs, what it stands on, and how far it has come. */

import { useQuery, type UseQueryResult } from "@tanstack/react-query";
import { RefreshCw } from "lucide-react";
import { version } from "../../../package.json";
import { dataOf, type Schema } from "@/api/client.ts";
import { statusQuery } from "@/api/queries.ts";
import { useApp, useLinkState, useLiveStats, useLiveStatus, useMay } from "@/app/context.ts";
import { Empty, Failed, Loading, Stale } from "@/components/states.tsx";
import { Badge, Button, Card, PageHeader } from "@/components/ui.tsx";
import { Instant } from "@/components/values.tsx";
import { count } from "@/lib/money.ts";
import { latency } from "@/lib/time.ts";
import { plural, readable } from "@/lib/words.ts";
import { Checks } from "./checks.tsx";
import { Partitions, TopicTable } from "./topics.tsx";

export function System() {
  const { api } = useApp();
  const mayAdminister = useMay("admin:read");
  const status = useQuery(statusQuery(api));
  // each look is recorded in the audit trail, so it is asked for by people and not by the clock
  const health = useQuery({
    queryKey: ["admin", "system-health"],
    queryFn: ({ signal }) => dataOf(api.GET("/admin/system-health", { signal })),
    enabled: mayAdminister,
    staleTime: Infinity,
  });
  return (
    <>
      <PageHeader title="System" about="What runs, what it stands on, and how far it has come.">
        <Stale updatedAt={status.dataUpdatedAt} />
      </PageHeader>
      <div className="flex flex-col gap-4">
        <div className="grid items-start gap-4 xl:grid-cols-2">
          {mayAdminister && (
            <div className="flex flex-col gap-4">
              <Dependencies health={health} />
              <Groups health={health} />
            </div>
          )}
          <LiveFeed health={health.data} status={status.data} />
        </div>
        <Part query={status} what="the topics" title="Topics" aside="Pace and waiting records of the last minute">
          {({ topics }) => (
            <>
              <TopicTable topics={topics} withOffsets />
              <Partitions topics={topics} />
            </>
          )}
        </Part>
        <Part query={status} what="the checks" title="Checks of the minute" aside={<Verdict status={status.data} />}>
          {({ checks }) => <Checks checks={checks} />}
        </Part>
      </div>
    </>
  );
}

interface PartProps<Data> {
  query: UseQueryResult<Data>;
  what: string;
  title: string;
  aside?: React.ReactNode;
  children: (data: Data) => React.ReactNode;
}

/** A card that is filled by a query. */
function Part<Data>({ query, what, title, aside, children }: PartProps<Data>) {
  return (
    <Card title={title} aside={aside} bare>
      {query.data !== undefined ? (
        children(query.data)
      ) : query.error ? (
        <Failed error={query.error} onRetry={() => void query.refetch()} />
      ) : (
        <Loading what={what} rows={4} />
      )}
    </Card>
  );
}

function Verdict({ status }: { status: Schema["Status"] | undefined }) {
  if (!status) return null;
  if (status.holds === null) return <Badge tone="warn">Not everything was checked lately</Badge>;
  return status.holds ? <Badge tone="good">Every record is accounted for</Badge> : <Badge tone="bad">Not every record is accounted for</Badge>;
}

type Health = UseQueryResult<Schema["SystemHealth"]>;

/** When it was. */
function Asked({ health }: { health: Health }) {
  return health.dataUpdatedAt ? <Instant at={new Date(health.dataUpdatedAt).toISOString()} as="ago" /> : null;
}

function Dependencies({ health }: { health: Health }) {
  return (
    <Part
      query={health}
      what="the dependencies"
      title="Dependencies"
      aside={
        <>
          {health.isSuccess && (
            <span>
              Asked <Asked health={health} />
            </span>
          )}
          <Button look="quiet" icon={RefreshCw} className="!h-8 !px-2 !text-xs" disabled={health.isFetching} title="Each look is recorded in the audit trail" onClick={() => void health.refetch()}>
            Ask again
          </Button>
        </>
      }
    >
      {({ dependencies }) => (
        <ul>
          {dependencies.map(({ name, answers, version: its, milliseconds, detail }) => (
            <li key={name} className="grid grid-cols-[1fr_auto_5rem] items-center gap-x-4 border-t border-line px-4 py-2.5 text-sm first:border-t-0">
              <span>
                <span className="font-medium">{name}</span> {its && <span className="figures text-ink-2">{its}</span>}
              </span>
              <Badge tone={answers ? "good" : "bad"}>{answers ? "Answers" : "No answer"}</Badge>
              <span className="figures text-right text-ink-2">{count(milliseconds)} ms</span>
              {detail && <span className="col-span-3 pt-1 text-xs break-words text-bad">{detail}</span>}
            </li>
          ))}
        </ul>
      )}
    </Part>
  );
}

function Groups({ health }: { health: Health }) {
  return (
    <Part query={health} what="the processes" title="Processes" aside={<>as Kafka knew them <Asked health={health} /></>}>
      {({ groups }) =>
        groups.length === 0 ? (
          <Empty title="Not known">Kafka did not answer when it was asked who is at work.</Empty>
        ) : (
          <ul>
            {groups.map(({ role, state, lag, members }) => (
              <li key={role} className="border-t border-line px-4 py-2.5 text-sm first:border-t-0">
                <div className="flex items-center gap-3">
                  <span className="font-medium">{readable(role)}</span>
                  <span className="figures text-ink-2">{members.length ? plural(members.length, "process", "processes") : "nobody works"}{lag !== null && `, ${plural(lag, "record")} to do`}</span>
                  <Badge tone={members.length === 0 ? "bad" : state === "Stable" ? "good" : "warn"} className="ml-auto">
                    {state}
                  </Badge>
                </div>
                <ul className="pt-1 text-xs text-ink-2">
                  {members.map(({ client, host, partitions }, at) => (
                    <li key={at} className="flex flex-wrap gap-x-3">
                      <span className="font-mono break-all">{client}</span>
                      <span className="figures">{host}</span>
                      <span className="figures">{partitions.length ? `partitions ${partitions.join(", ")}` : "no partition"}</span>
                    </li>
                  ))}
                </ul>
              </li>
            ))}
          </ul>
        )
      }
    </Part>
  );
}

const LINKS = { off: "Off", connecting: "Connecting", live: "Connected", reconnecting: "Reconnecting" };

/** The socket of this page, and what the server says over it each second. */
function LiveFeed({ health, status: minute }: { health: Schema["SystemHealth"] | undefined; status: Schema["Status"] | undefined }) {
  const { session } = useApp();
  const link = useLinkState();
  const [lastStatus, lastStats] = [useLiveStatus(), useLiveStats()];
  // what was so when it was last heard says nothing about now
  const [status, stats] = link === "live" ? [lastStatus, lastStats] : [];
  const rows: [string, React.ReactNode][] = [
    ["Live link", <Badge key="" tone={link === "live" ? "good" : "warn"}>{LINKS[link]}</Badge>],
    ["Reads Kafka", status ? <Badge key="" tone={status.live ? "good" : "warn"}>{status.live ? "Yes" : (status.reason ?? "No")}</Badge> : "not heard yet"],
    ...Object.entries(status?.behind ?? {}).map(([channel, behind]): [string, string] => [`Waiting in ${readable(channel).toLowerCase()}`, count(behind)]),
    ["Sockets of this server process", status ? count(status.sockets) : "–"],
    ["Told in the last second", stats ? `${plural(stats.results, "result")}, ${plural(stats.mismatches, "mismatch", "mismatches")}, ${plural(stats.dead_letters, "dead letter")}` : "–"],
    ["Verdicts of that second", stats?.latency_ms ? latency(stats.latency_ms) : "–"],
    ["Verdicts of the last minute", minute?.latency_ms ? latency(minute.latency_ms) : "–"],
    ["Version of the server", session.config.version],
    ["Version of this page", version],
    ...(health ? [["Python", health.python] as [string, string]] : []),
  ]; // prettier-ignore
  return (
    <Card title="Live feed and versions" bare>
      <dl className="text-sm">
        {rows.map(([term, value]) => (
          <div key={term} className="flex items-center justify-between gap-4 border-t border-line px-4 py-2 first:border-t-0">
            <dt className="text-ink-2">{term}</dt>
            <dd className="figures text-right font-medium">{value}</dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}
