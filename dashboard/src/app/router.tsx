/** The addresses. All that a view shows follows from its address, so that a link or the back button brings it back. */

import type { QueryClient } from "@tanstack/react-query";
import { createRootRouteWithContext, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { Empty, Failed, Forbidden, Loading } from "@/components/states.tsx";
import type { App, Permission } from "./context.ts";
import { AuditSearch, DeadLettersSearch, ExceptionsSearch, LiveSearch, OverviewSearch, TransactionSearch, TransactionsSearch } from "./searches.ts";
import { Shell } from "./shell.tsx";

interface Context {
  app: App;
  queries: QueryClient;
}

class NotAllowed extends Error {}

const root = createRootRouteWithContext<Context>()({
  component: Shell,
  notFoundComponent: () => <Empty title="There is no such page">Choose one from the navigation.</Empty>,
});

/** Refuses before anything of the page is loaded; the server would refuse too. */
const needs =
  (permission: Permission) =>
  ({ context }: { context: Context }) => {
    if (!context.app.me.permissions.includes(permission)) throw new NotAllowed();
  };

const overview = createRoute({
  getParentRoute: () => root,
  path: "/",
  validateSearch: OverviewSearch,
  beforeLoad: needs("stats:read"),
  component: lazyRouteComponent(() => import("@/pages/overview/overview.tsx"), "Overview"),
});

const exceptions = createRoute({
  getParentRoute: () => root,
  path: "/exceptions",
  validateSearch: ExceptionsSearch,
  beforeLoad: needs("transactions:read"),
  component: lazyRouteComponent(() => import("@/pages/lists/exceptions.tsx"), "Exceptions"),
});

const transactions = createRoute({
  getParentRoute: () => root,
  path: "/transactions",
  validateSearch: TransactionsSearch,
  beforeLoad: needs("transactions:read"),
  component: lazyRouteComponent(() => import("@/pages/lists/transactions.tsx"), "Transactions"),
});

const transaction = createRoute({
  getParentRoute: () => root,
  path: "/transactions/$txnId",
  validateSearch: TransactionSearch,
  beforeLoad: needs("transactions:read"),
  component: lazyRouteComponent(() => import("@/pages/transaction/transaction.tsx"), "Transaction"),
});

const live = createRoute({
  getParentRoute: () => root,
  path: "/live",
  validateSearch: LiveSearch,
  beforeLoad: needs("transactions:read"),
  component: lazyRouteComponent(() => import("@/pages/live/live.tsx"), "Live"),
});

const deadLetters = createRoute({
  getParentRoute: () => root,
  path: "/dead-letters",
  validateSearch: DeadLettersSearch,
  beforeLoad: needs("dead-letters:read"),
  component: lazyRouteComponent(() => import("@/pages/dead-letters/dead-letters.tsx"), "DeadLetters"),
});

const audit = createRoute({
  getParentRoute: () => root,
  path: "/audit",
  validateSearch: AuditSearch,
  beforeLoad: needs("audit:read"),
  component: lazyRouteComponent(() => import("@/pages/audit/audit.tsx"), "Audit"),
});

const system = createRoute({
  getParentRoute: () => root,
  path: "/system",
  beforeLoad: needs("stats:read"),
  component: lazyRouteComponent(() => import("@/pages/system/system.tsx"), "System"),
});

const settings = createRoute({
  getParentRoute: () => root,
  path: "/settings",
  component: lazyRouteComponent(() => import("@/pages/settings/settings.tsx"), "Settings"),
});

const tree = root.addChildren([overview, exceptions, transactions, transaction, live, deadLetters, audit, system, settings]);

export function createAppRouter(app: App, queries: QueryClient) {
  return createRouter({
    routeTree: tree,
    basepath: import.meta.env.BASE_URL,
    context: { app, queries },
    defaultPreload: "intent",
    scrollRestoration: true,
    defaultPendingComponent: () => <Loading what="the page" />,
    defaultErrorComponent: ({ error, reset }) => (error instanceof NotAllowed ? <Forbidden /> : <Failed error={error as Error} onRetry={reset} />),
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}
