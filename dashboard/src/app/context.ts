/** What every page stands on: the session, who it is, the API and the live link. */

import { createContext, use, useEffect, useRef, useSyncExternalStore } from "react";
import type { Api, Schema } from "@/api/client.ts";
import type { Session } from "@/auth/keycloak.ts";
import type { Channel, Filter, Items } from "@/live/messages.ts";
import type { LinkState, LiveSocket } from "@/live/socket.ts";

export type Permission =
  | "stats:read"
  | "transactions:read"
  | "accounts:read"
  | "raw:read"
  | "breaks:work"
  | "dead-letters:read"
  | "dead-letters:replay"
  | "export"
  | "audit:read"
  | "reports:read"
  | "admin:read"
  | "admin:write"
  | "profile";

export interface App {
  session: Session;
  me: Schema["Me"];
  api: Api;
  live: LiveSocket;
}

export const AppContext = createContext<App | undefined>(undefined);

export function useApp(): App {
  const app = use(AppContext);
  if (!app) throw new Error("useApp is for what stands inside the application");
  return app;
}

/** Whether the person may; what they may not is not shown. The server decides all the same. */
export function useMay(permission: Permission): boolean {
  return useApp().me.permissions.includes(permission);
}

export function useLinkState(): LinkState {
  const { live } = useApp();
  return useSyncExternalStore(live.observe, () => live.state);
}

export function useLiveStatus() {
  const { live } = useApp();
  return useSyncExternalStore(live.observe, () => live.status);
}

export function useLiveStats() {
  const { live } = useApp();
  return useSyncExternalStore(live.observe, () => live.stats);
}

/** So often, at most, what comes over the socket reaches React. */
const FLUSH_MS = 250;

interface Handlers<Name extends Channel> {
  onItems: (items: Items[Name][]) => void;
  onReload: () => void;
  onBegin?: () => void;
}

/** Follows a channel while the component is shown and `filter` is given. Items are handed over in batches, four times a second at most. */
export function useChannel<Name extends Channel>(channel: Name, filter: Filter | undefined, handlers: Handlers<Name>): void {
  const { live } = useApp();
  const newest = useRef(handlers);
  useEffect(() => {
    newest.current = handlers;
  });
  // filters are equal where they say the same
  const key = filter && JSON.stringify(filter);
  useEffect(() => {
    if (key === undefined) return undefined;
    let waiting: Items[Name][] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const flush = () => {
      timer = undefined;
      const items = waiting;
      waiting = [];
      newest.current.onItems(items);
    };
    const end = live.listen(channel, {
      filter: JSON.parse(key) as Filter,
      onItems(items) {
        waiting = waiting.length ? waiting.concat(items) : items;
        timer ??= setTimeout(flush, FLUSH_MS);
      },
      onReload: () => newest.current.onReload(),
      onBegin: () => newest.current.onBegin?.(),
    });
    return () => {
      clearTimeout(timer);
      end();
    };
  }, [live, channel, key]);
}
