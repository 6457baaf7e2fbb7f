/** One dead letter: why, its bytes, what was done, and what can be: a replay is tried first, then done. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { RotateCcw, Trash2 } from "lucide-react";
import { useEffect, useId, useRef, useState, type ReactNode, type Ref } from "react";
import { ApiError, dataOf, type Schema } from "@/api/client.ts";
import { useApp, useMay } from "@/app/context.ts";
import { announce } from "@/components/announcer.tsx";
import { CopyButton } from "@/components/copy.tsx";
import { Failed, Loading, Stale } from "@/components/states.tsx";
import { Badge, Button, Dialog, Field, INPUT } from "@/components/ui.tsx";
import { Instant } from "@/components/values.tsx";
import { readable } from "@/lib/words.ts";
import { STATES } from "./dead-letters.tsx";
import { PLANS, reasonName, REASONS } from "./reasons.ts";

export function Letter({ id, onClose }: { id: string | undefined; onClose: () => void }) {
  return (
    <Dialog title="Dead letter" isOpen={id !== undefined} onClose={onClose} className="w-[min(56rem,calc(100vw-2rem))]">
      {id !== undefined && <Content key={id} id={id} />}
    </Dialog>
  );
}

function Content({ id }: { id: string }) {
  const { api } = useApp();
  const mayAct = useMay("dead-letters:replay");
  const query = useQuery({
    queryKey: ["dead-letters", "one", id],
    queryFn: ({ signal }) => dataOf(api.GET("/dead-letters/{letter_id}", { signal, params: { path: { letter_id: id } } })),
    refetchOnWindowFocus: false,
  });
  const letter = query.data;
  const state = letter?.state;
  const isDoneHere = useRef(false);
  const done = useRef<HTMLParagraphElement>(null);
  useEffect(() => {
    // the buttons that had the focus are gone
    if (isDoneHere.current && state !== "OPEN") done.current?.focus();
  }, [state]);

  if (query.isError && !letter) return <Failed error={query.error} what="dead letter" onRetry={() => void query.refetch()} />;
  if (!letter) return <Loading what="the letter" />;
  const reason = REASONS[letter.reason];
  return (
    <div className="flex flex-col gap-4 text-sm">
      <div>
        <p className="flex flex-wrap items-center gap-2 font-medium">
          {reasonName(letter.reason)} <Badge tone={STATES[letter.state] ?? "quiet"}>{readable(letter.state)}</Badge>
        </p>
        <p className="pt-1 break-words">{letter.detail}</p>
        {reason && <p className="pt-1 text-ink-2">{reason.todo}</p>}
      </div>
      <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-5 gap-y-1">
        <Line name="Record">
          <span className="font-mono text-[0.92em] break-all">{letter.id}</span>
        </Line>
        <Line name="In Kafka since">
          <Instant at={letter.kafka_timestamp} />
        </Line>
        <Line name="Refused">
          <Instant at={letter.failed_at} />
        </Line>
        <Line name="Schema">{letter.schema_id ?? "not known"}</Line>
        <Line name="Letter">
          <span className="font-mono text-[0.92em] break-all">
            {letter.letter.topic}/{letter.letter.partition}/{letter.letter.offset}
          </span>
        </Line>
      </dl>
      <Bytes title="Key" bytes={letter.key} />
      <Bytes title="Value" bytes={letter.value} />
      {!letter.is_archived && <p className="text-ink-2">The archive does not hold this record; the bytes are those in the letter.</p>}
      <Done actions={letter.actions} ref={done} />
      {query.isError && <Stale updatedAt={query.dataUpdatedAt} error={query.error} />}
      {mayAct && letter.state === "OPEN" && <Act letter={letter} onDone={() => (isDoneHere.current = true)} />}
      <div>
        <CopyButton text={() => JSON.stringify(letter, null, 2)}>Copy as JSON</CopyButton>
      </div>
    </div>
  );
}

function Line({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-ink-2">{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

/** As text in which nothing acts; the digits beside it for whoever needs them. */
function Bytes({ title, bytes }: { title: string; bytes: Schema["BytesView"] | null }) {
  const [isHex, setHex] = useState(false);
  if (!bytes) return <p className="text-ink-2">{title}: none</p>;
  return (
    <div>
      <p className="flex items-center gap-3 pb-1">
        <span className="font-medium">{title}</span>
        <span className="figures text-ink-2">
          {bytes.size} bytes{bytes.is_cut && ", the first of them"}
        </span>
        <button type="button" aria-pressed={isHex} className="text-accent hover:underline" onClick={() => setHex(!isHex)}>
          {isHex ? "As text" : "As hexadecimal"}
        </button>
      </p>
      <pre
        tabIndex={0}
        role="region"
        aria-label={`Bytes of the ${title.toLowerCase()}`}
        className="max-h-48 overflow-auto rounded-md border border-line bg-sunken p-3 font-mono text-xs leading-5 break-all whitespace-pre-wrap"
      >
        {isHex ? bytes.hex.replace(/(..)(?=.)/g, "$1 ") : bytes.text || " "}
      </pre>
    </div>
  );
}

function Done({ actions, ref }: { actions: Schema["DeadLetterAction"][]; ref: Ref<HTMLParagraphElement> }) {
  if (!actions.length) return null;
  return (
    <div>
      <p ref={ref} tabIndex={-1} className="pb-1 font-medium outline-none">What was done</p>
      <ul className="flex flex-col gap-1">
        {actions.map((each) => (
          <li key={each.request_key} className="text-ink-2">
            <span className="text-ink">
              {readable(each.action)} by {each.actor}
            </span>
            , <Instant at={each.asked_at} />
            {each.done_at === null && " (the outcome is not known)"}
            {each.sent && `, as ${each.sent.topic}/${each.sent.partition}/${each.sent.offset}`}
            {each.comment && <span>: “{each.comment}”</span>}
          </li>
        ))}
      </ul>
    </div>
  );
}

type Kind = "replay" | "discard";
const TRIALS = [
  { kind: "replay" as const, icon: RotateCcw, label: "Replay…" },
  { kind: "discard" as const, icon: Trash2, label: "Discard…" },
];

function Act({ letter, onDone }: { letter: Schema["DeadLetter"]; onDone: () => void }) {
  const { api } = useApp();
  const queries = useQueryClient();
  const [comment, setComment] = useState("");
  // one name for all attempts of this dialog: repeated after a broken connection, it does nothing twice
  const [requestKeys] = useState<Record<Kind, string>>(() => ({ replay: crypto.randomUUID(), discard: crypto.randomUUID() }));
  const [plan, setPlan] = useState<{ kind: Kind; plan: string }>();
  const back = useRef<HTMLButtonElement>(null);
  const trials = useRef<Partial<Record<Kind, HTMLButtonElement | null>>>({});
  const hint = useId();

  const action = useMutation({
    mutationFn: ({ kind, isTrial }: { kind: Kind; isTrial: boolean }) => {
      const body = { request_key: requestKeys[kind], comment: comment.trim() || null, again: false, dry_run: isTrial };
      const call = { params: { path: { letter_id: letter.id } }, body };
      return dataOf(kind === "replay" ? api.POST("/dead-letters/{letter_id}/replay", call) : api.POST("/dead-letters/{letter_id}/discard", call));
    },
    onSuccess: (outcome, { kind, isTrial }) => {
      if (isTrial) {
        setPlan({ kind, plan: outcome.plan });
        return;
      }
      onDone();
      announce(kind === "replay" ? `${letter.id} was sent once more.` : `${letter.id} was discarded.`, "good");
      void queries.invalidateQueries({ queryKey: ["dead-letters"] });
    },
  });
  const isWilling = plan?.plan === "DO" || plan?.plan === "REPEAT";
  useEffect(() => {
    if (isWilling) back.current?.focus();
  }, [isWilling]);
  const mayTry = !action.isPending && !isWilling;
  const goBack = (kind: Kind) => {
    setPlan(undefined);
    trials.current[kind]?.focus();
  };
  return (
    <div className="flex flex-col gap-3 rounded-lg border border-line bg-sunken p-4">
      <Field label="Why (it goes into the audit trail)">
        <input className={`${INPUT} font-normal`} value={comment} maxLength={500} onChange={(event) => setComment(event.target.value)} />
      </Field>
      {/* they stay where they are, and what confirms comes below: a second click on a trial never does it */}
      <div className="flex flex-wrap gap-2">
        {TRIALS.map(({ kind, icon, label }) => (
          <Button
            key={kind}
            ref={(button) => void (trials.current[kind] = button)}
            icon={icon}
            aria-disabled={!mayTry}
            onClick={() => mayTry && action.mutate({ kind, isTrial: true })}
          >
            {label}
          </Button>
        ))}
      </div>
      {plan && (
        <p id={hint} role="status">
          {PLANS[plan.plan] ?? readable(plan.plan)}
        </p>
      )}
      {action.isError && (
        <p role="alert" className="text-bad">
          {action.error.message}
          {!action.variables.isTrial && isUnknown(action.error) && " It is not known whether it was done; doing it again is safe."}
        </p>
      )}
      {plan && isWilling && (
        <div className="flex flex-wrap gap-2">
          <Button ref={back} aria-describedby={hint} onClick={() => goBack(plan.kind)}>
            Back
          </Button>
          <Button
            look={plan.kind === "discard" ? "danger" : "primary"}
            aria-describedby={hint}
            aria-disabled={action.isPending}
            onClick={() => !action.isPending && action.mutate({ kind: plan.kind, isTrial: false })}
          >
            {plan.kind === "replay" ? "Send it now" : "Discard it now"}
          </Button>
        </div>
      )}
    </div>
  );
}

/** Whether it may have been done all the same: nothing answered, or what answered had asked somebody else. */
function isUnknown(error: Error): boolean {
  return !(error instanceof ApiError) || error.status === 0 || error.status >= 500;
}
