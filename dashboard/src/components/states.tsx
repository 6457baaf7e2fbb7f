/** What is shown where there is nothing to show yet, nothing at all, or no right to see it. */

import { CircleSlash, Inbox, Lock, RefreshCw, SearchX, ServerCrash, type LucideIcon } from "lucide-react";
import type { ReactNode } from "react";
import { ApiError } from "@/api/client.ts";
import { useNow } from "@/lib/clock.ts";
import { duration } from "@/lib/time.ts";
import { Button, classes } from "./ui.tsx";

interface StateProps {
  icon: LucideIcon;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
  role?: "alert" | "status";
}

function State({ icon: Icon, title, children, action, role }: StateProps) {
  return (
    <div role={role} className="flex flex-col items-center justify-center gap-2 px-6 py-14 text-center">
      <Icon aria-hidden className="size-8 text-ink-3" strokeWidth={1.5} />
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

export function Forbidden({ children }: { children?: ReactNode }) {
  return (
    <State icon={Lock} title="Your roles do not allow this" role="alert">
      {children ?? "Ask an administrator for a role that may see it. The attempt is recorded in the audit trail."}
    </State>
  );
}

export function NotFound({ what }: { what: string }) {
  return (
    <State icon={CircleSlash} title={`There is no such ${what}`}>
      The address may be mistyped, or the {what} has not been stored yet.
    </State>
  );
}

/** Whatever went wrong, in the words of the server, with what can be done. */
export function Failed({ error, onRetry, what = "thing" }: { error: Error; onRetry?: (() => void) | undefined; what?: string }) {
  const status = error instanceof ApiError ? error.status : undefined;
  if (status === 403) return <Forbidden />;
  if (status === 404) return <NotFound what={what} />;
  return (
    <State
      icon={ServerCrash}
      title={status === 0 ? "The server does not answer" : "This could not be loaded"}
      role="alert"
      action={
        onRetry && (
          <Button icon={RefreshCw} onClick={onRetry}>
            Try again
          </Button>
        )
      }
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

/** "last update 42 s ago", once what is shown is older than it should be. */
export function Stale({ updatedAt, afterMs = STALE_AFTER_MS }: { updatedAt: number; afterMs?: number }) {
  const now = useNow();
  if (!updatedAt || now - updatedAt < afterMs) return null;
  return (
    <span role="status" className="rounded bg-warn-soft px-1.5 py-0.5 text-xs font-medium text-warn">
      Last update {duration((now - updatedAt) / 1000)} ago
    </span>
  );
}
