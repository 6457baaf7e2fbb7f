/** Every source record of the transaction and what became of it, down to its bytes. */

import { useQuery } from "@tanstack/react-query";
import { dataOf, type Schema } from "@/api/client.ts";
import { useApp } from "@/app/context.ts";
import { CopyButton } from "@/components/copy.tsx";
import { Empty, Failed, Loading } from "@/components/states.tsx";
import { Badge, Card } from "@/components/ui.tsx";
import { Instant, Money } from "@/components/values.tsx";
import { readable, source, type Tone } from "@/lib/words.ts";
import { bytesOf, hexDump } from "./bytes.ts";
import { PlaceText } from "./legs.tsx";

const OUTCOMES: Record<string, Tone> = { ACCEPTED: "good", DUPLICATE: "quiet", STALE: "quiet", CONFLICT: "bad", REJECTED: "bad" };

/** `revision` of the result: a new one may rest on new records. */
export function Records({ txnId, revision }: { txnId: string; revision: number }) {
  const { api } = useApp();
  const query = useQuery({
    queryKey: ["transaction", txnId, "records", revision],
    queryFn: ({ signal }) => dataOf(api.GET("/transactions/{txn_id}/records", { signal, params: { path: { txn_id: txnId } } })),
    refetchOnWindowFocus: false,
  });
  if (query.isError) return <Failed error={query.error} what="record" onRetry={() => void query.refetch()} />;
  if (!query.data) return <Loading what="the source records" />;
  if (!query.data.items.length) return <Empty title="The archive has no record of it yet">The sink stores records within moments.</Empty>;
  return (
    <div className="flex flex-col gap-4">
      {query.data.items.map((record) => (
        <RecordCard key={`${record.place.topic}/${record.place.partition}/${record.place.offset}`} record={record} />
      ))}
      {query.data.cut && <p className="text-sm text-ink-2">There are more records than are shown here; the archive holds all of them.</p>}
    </div>
  );
}

function RecordCard({ record }: { record: Schema["RecordView"] }) {
  return (
    <Card
      title={
        <span className="flex flex-wrap items-center gap-2">
          {source(record.source)} <Badge tone={OUTCOMES[record.outcome] ?? "quiet"}>{readable(record.outcome)}</Badge>
          <Money amount={record.amount} className="font-normal" />
        </span>
      }
      aside={<Instant at={record.kafka_timestamp} />}
    >
      <dl className="grid grid-cols-[auto_1fr] gap-x-5 gap-y-1 pb-3 text-sm sm:grid-cols-[auto_1fr_auto_1fr]">
        <dt className="text-ink-2">Event id</dt>
        <dd className="font-mono text-[0.92em] break-all">{record.event_id}</dd>
        <dt className="text-ink-2">Kafka record</dt>
        <dd>
          <PlaceText place={record.place} />
        </dd>
        <dt className="text-ink-2">Revision</dt>
        <dd className="figures">{record.revision}</dd>
        <dt className="text-ink-2">Schema</dt>
        <dd className="figures">{record.schema_id}</dd>
        {record.reason && (
          <>
            <dt className="text-ink-2">Reason</dt>
            <dd>{record.reason}</dd>
          </>
        )}
      </dl>
      {record.event && (
        <details className="border-t border-line py-2">
          <summary className="py-1 text-sm font-medium">The event</summary>
          <Code text={JSON.stringify(record.event, null, 2)} label="The event as JSON" />
          <CopyButton text={() => JSON.stringify(record, null, 2)}>Copy as JSON</CopyButton>
        </details>
      )}
      {record.value !== null && (
        <details className="border-t border-line py-2">
          <summary className="py-1 text-sm font-medium">The bytes</summary>
          <Bytes base64={record.value} />
        </details>
      )}
    </Card>
  );
}

function Bytes({ base64 }: { base64: string }) {
  return <Code text={hexDump(bytesOf(base64))} label="The bytes, hexadecimal and as ASCII" />;
}

function Code({ text, label }: { text: string; label: string }) {
  return (
    <pre tabIndex={0} role="region" aria-label={label} className="my-2 max-h-96 overflow-auto rounded-md border border-line bg-sunken p-3 font-mono text-xs leading-5">
      {text}
    </pre>
  );
}
