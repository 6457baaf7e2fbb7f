/** Before the session ends, a person is asked; after it, they log in and come back to where they were. */

import { LogIn } from "lucide-react";
import { useEffect, useState, useSyncExternalStore } from "react";
import { lastUse } from "@/auth/presence.ts";
import { Button, Dialog } from "@/components/ui.tsx";
import { useNow } from "@/lib/clock.ts";
import { duration } from "@/lib/time.ts";
import { useApp } from "./context.ts";

/** The dialog comes so long before the end. */
const WARN_MS = 120_000;
/** A page that asks for nothing, because it is hidden, keeps its session too. */
const REFRESH_EVERY_MS = 60_000;

export function SessionDialogs() {
  const { session } = useApp();
  const now = useNow();
  const ended = useSyncExternalStore(session.subscribe, () => session.ended);
  const endsAt = useSyncExternalStore(session.subscribe, () => session.endsAt);
  const [dismissedFor, setDismissedFor] = useState<number>();
  useEffect(() => {
    const timer = setInterval(() => void session.token(), REFRESH_EVERY_MS);
    return () => clearInterval(timer);
  }, [session]);

  // tokens are renewed for a page that nobody looks at, too: Keycloak's limit for those counts from the last touch
  const idleLeft = lastUse() + session.idleMs - now;
  const left = Math.min(endsAt === undefined ? Infinity : endsAt - now, idleLeft);
  useEffect(() => {
    if (ended || left > 0) return;
    if (idleLeft <= 0) void session.leave();
    else session.end("expired");
  }, [ended, left, idleLeft, session]);

  if (ended === "expired") {
    return (
      <Dialog title="Your session has ended" isOpen onClose={() => void session.login()}>
        <p className="pb-4 text-sm text-ink-2">Log in again; you come back to this page, with its filters.</p>
        <Button look="primary" icon={LogIn} onClick={() => void session.login()}>
          Log in
        </Button>
      </Dialog>
    );
  }
  const stay = async () => {
    await session.refresh(-1); // -1: whatever is left of the access token
    // Keycloak gives no session more than its longest duration
    if ((session.endsAt ?? 0) - Date.now() < WARN_MS) await session.login();
  };
  const isAsked = left < WARN_MS && left > 0 && dismissedFor !== endsAt;
  return (
    <Dialog title="Are you still there?" isOpen={isAsked} onClose={() => setDismissedFor(endsAt)}>
      <p className="pb-4 text-sm text-ink-2">
        Your session ends in <span className="figures font-medium text-ink">{duration(left / 1000)}</span>.
      </p>
      <div className="flex gap-2">
        <Button look="primary" onClick={() => void stay()}>
          Stay signed in
        </Button>
        <Button onClick={() => void session.logout()}>Sign out</Button>
      </div>
    </Dialog>
  );
}
