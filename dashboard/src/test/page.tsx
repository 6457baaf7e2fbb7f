/** A page as it stands in the application: at its address, with a live link that says what a test says. The API is the test's. */

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createMemoryHistory, createRootRoute, createRoute, createRouter, RouterProvider } from "@tanstack/react-router";
import { act, render } from "@testing-library/react";
import { Tooltip } from "radix-ui";
import { connect } from "@/api/client.ts";
import { AppContext, type App } from "@/app/context.ts";
import type { Session } from "@/auth/keycloak.ts";
import { Announcer } from "@/components/announcer.tsx";
import type { Channel, Items } from "@/live/messages.ts";
import type { LinkState, Listener, LiveSocket } from "@/live/socket.ts";

type Validated = NonNullable<Parameters<typeof createRoute>[0]>["validateSearch"];

interface PageProps {
  path: string;
  /** Where the path has parameters. */
  address?: string;
  search: Validated;
  page: () => React.ReactNode;
  permissions: string[];
  /** After the path: "?state=RESOLVED". */
  query?: string;
  link?: LinkState;
}

interface Shown {
  /** With its filters, readable. */
  address: () => string;
  /** The live link brings these. */
  tell: <Name extends Channel>(channel: Name, items: Partial<Items[Name]>[]) => void;
  /** Its listener hears these. */
  hear: (channel: Channel, word: "onReload" | "onBegin") => void;
}

export function showPage({ path, address = path, search, page, permissions, query = "", link = "live" }: PageProps): Shown {
  const session = { token: () => Promise.resolve("token"), refresh: () => Promise.resolve(true) } as unknown as Session;
  const listeners = new Map<Channel, Listener<Channel>>();
  const live = {
    state: link,
    observe: () => () => undefined,
    listen(channel: Channel, listener: Listener<Channel>) {
      listeners.set(channel, listener);
      return () => listeners.delete(channel);
    },
  } as unknown as LiveSocket;
  const app: App = { session, me: { permissions } as unknown as App["me"], api: connect(session), live };
  const root = createRootRoute();
  const shown = createRoute({ getParentRoute: () => root, path, validateSearch: search, component: page });
  const elsewhere = createRoute({ getParentRoute: () => root, path: "$", component: () => "another page" });
  const history = createMemoryHistory({ initialEntries: [address + query] });
  const router = createRouter({ routeTree: root.addChildren([shown, elsewhere]), history });
  render(
    <AppContext value={app}>
      <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
        <Tooltip.Provider>
          <RouterProvider router={router as never} />
          <Announcer />
        </Tooltip.Provider>
      </QueryClientProvider>
    </AppContext>,
  );
  return {
    address: () => decodeURIComponent(router.state.location.href),
    tell: (channel, items) => act(() => listeners.get(channel)?.onItems(items as never[])),
    hear: (channel, word) => act(() => listeners.get(channel)?.[word]?.()),
  };
}
