/** What is shown where there is nothing to show yet, nothing at all, or no right to see it. */

import { CircleSlash, Inbox, Lock, RefreshCw, SearchX, ServerCrash, type LucideIcon } from "lucide-react";
import type { ReactNode } from "react";
import { ApiError } from "@/api/client.ts";
import { useNow } from "@/lib/clock.ts";
import { usePreferences } from "@/lib/preferences.ts";
import { duration, instant } from "@/lib/time.ts";
import { Button, classes } from "./ui.tsx";

interface StateProps {
  icon: LucideIcon;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
  role?: "alert" | "status" | undefined;
}

function State({ icon: Icon, title, children, action, role }: StateProps) {
  return (
    <div role={role} className="flex flex-col items-center justify-center gap-2 px-6 py-12 text-center">
      <span className="mb-1 rounded-full bg-sunken p-3">
        <Icon aria-hidden className="size-6 text-ink-3" strokeWidth={1.5} />
      </span>
      <p className="font-semibold">{title}</p>
      {children && <div className="max-w-md text-sm text-ink-2">{children}</div>}
      {action && <div className="pt-2">{action}</div>}
    </div>
  );
}

/** There is none. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <State icon={Inbox} title={title}>
      {children}
    </State>
  );
}

/** There are some, and the filters hide them. */
export function FilteredEmpty({ onReset }: { onReset: () => void }) {
  return (
    <State icon={SearchX} title="Nothing fits these filters" action={<Button onClick={onReset}>Clear all filters</Button>}>
      Widen the period or take a filter away.
    </State>
  );
}

/** `isRecorded`: the server was asked and refused; who is refused by the page itself is in no trail. */
export function Forbidden({ isRecorded = false }: { isRecorded?: boolean }) {
  return (
    <State icon={Lock} title="Your roles do not allow this" role="alert">
      Ask an administrator for a role that may see it.{isRecorded && " The attempt is recorded in the audit trail."}
    </State>
  );
}

interface NotFoundProps {
  what: string;
  onRetry?: (() => void) | undefined;
  /** It is asked for again by itself. */
  isAwaited?: boolean;
}

export function NotFound({ what, onRetry, isAwaited = false }: NotFoundProps) {
  return (
    <State icon={CircleSlash} title={`There is no such ${what}${isAwaited ? " yet" : ""}`} role={isAwaited ? "status" : undefined} action={onRetry && <Retry onRetry={onRetry} />}>
      {isAwaited ? "It may be stored in a moment: asking again…" : `The address may be mistyped, or the ${what} has not been stored yet.`}
    </State>
  );
}

function Retry({ onRetry }: { onRetry: () => void }) {
  return (
    <Button icon={RefreshCw} onClick={onRetry}>
      Try again
    </Button>
  );
}

/** Whatever went wrong, in the words of the server, with what can be done. */
export function Failed({ error, onRetry, what = "thing" }: { error: Error; onRetry?: (() => void) | undefined; what?: string }) {
  const status = error instanceof ApiError ? error.status : undefined;
  if (status === 403) return <Forbidden isRecorded />;
  if (status === 404) return <NotFound what={what} onRetry={onRetry} />;
  return (
    <State
      icon={ServerCrash}
      title={status === 0 ? "The server does not answer" : "This could not be loaded"}
      role="alert"
      action={onRetry && <Retry onRetry={onRetry} />}
    >
      {error.message}
      {error instanceof ApiError && error.requestId && <p className="pt-1 font-mono text-xs text-ink-3">Request {error.requestId}</p>}
    </State>
  );
}

/** A place that will be filled; calm, and silent for screen readers but for its name. */
export function Skeleton({ className }: { className?: string }) {
  return <div aria-hidden className={classes("animate-pulse rounded bg-sunken", className)} />;
}

export function Loading({ what, rows = 6 }: { what: string; rows?: number }) {
  return (
    <div role="status" className="flex flex-col gap-3 p-4">
      <span className="sr-only">Loading {what}</span>
      {Array.from({ length: rows }, (_, row) => (
        <Skeleton key={row} className="h-5" />
      ))}
    </div>
  );
}

const STALE_AFTER_MS = 30_000;

interface StaleProps {
  updatedAt: number;
  afterMs?: number;
  /** Why it could not be brought up to date. */
  error?: Error | null;
}

/** "last update 42 s ago", once what is shown is older than it should be, or at once where reading it anew failed. Counted for eyes, said once. */
export function Stale({ updatedAt, afterMs = STALE_AFTER_MS, error = null }: StaleProps) {
  const now = useNow();
  const { zone } = usePreferences();
  if (!updatedAt || (!error && now - updatedAt < afterMs)) return null;
  return (
    <span className="relative rounded bg-warn-soft px-1.5 py-0.5 text-xs font-medium text-warn">
      {/* what changes each second would be read out each second */}
      <span role="status" className="sr-only">
        {error?.message} Last update {instant(new Date(updatedAt).toISOString(), zone)}
      </span>
      <span aria-hidden>
        {error?.message} Last update {duration((now - updatedAt) / 1000)} ago
      </span>
    </span>
  );
}
