import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createMemoryHistory, createRootRoute, createRoute, createRouter, RouterProvider } from "@tanstack/react-router";
import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { Tooltip } from "radix-ui";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { connect, type Schema } from "@/api/client.ts";
import { AppContext, type App } from "@/app/context.ts";
import { OverviewSearch } from "@/app/searches.ts";
import type { Session } from "@/auth/keycloak.ts";
import { LiveSocket } from "@/live/socket.ts";
import { Overview } from "./overview.tsx";

const NOW = new Date().toISOString();
const EUR = { minor: "134702", major: "1347.02", currency: "EUR" };
const STATUS: Schema["Status"] = {
  holds: true,
  checked_at: NOW,
  checks: [{ name: "flow", title: "Nothing goes back", holds: true, examined: 7, violations: 0, examples: [], checked_at: NOW, held_at: NOW }],
  topics: [{ topic: "core_txns", is_source: true, offset: "9007199254740993", per_second: 12, lag: 0, stored_at: NOW, partitions: [] }],
  latency_ms: null,
};
const VERDICTS: Schema["TransactionStats"] = {
  since: NOW, before: null, step_seconds: 600, transactions: 4,
  verdicts: [
    { verdict: "MATCHED", transactions: 3, amounts: [{ minor: "300", major: "3.00", currency: "EUR" }] },
    { verdict: "BROKEN", transactions: 1, amounts: [{ minor: "100", major: "1.00", currency: "EUR" }] },
  ],
  series: [{ at: NOW, counts: { MATCHED: 3, BROKEN: 1 } }],
}; // prettier-ignore
const OPEN: Schema["OpenBreaks"] = {
  open: 5,
  classes: [{ class: "AMOUNT_MISMATCH", breaks: 4, amounts: [EUR] }, { class: "MISSING_ENTRY", breaks: 1, amounts: [EUR] }],
  subjects: [{ subject: "GATEWAY", breaks: 5, amounts: [EUR] }],
  severities: [{ severity: "CRITICAL", breaks: 2, amounts: [EUR] }, { severity: "LOW", breaks: 3, amounts: [EUR] }],
  ages: [
    { from_seconds: 0, to_seconds: 900, since: "2026-11-26T10:00:00.000Z", before: null, breaks: 2, amounts: [EUR] },
    { from_seconds: 900, to_seconds: 3600, since: "2026-11-26T09:10:00.000Z", before: "2026-11-26T10:00:00.000Z", breaks: 3, amounts: [EUR] },
    { from_seconds: 259_200, to_seconds: null, since: null, before: "2026-11-23T10:00:00.000Z", breaks: 0, amounts: [] },
  ],
}; // prettier-ignore
// the period has opened others than are open now
const BREAKS: Schema["MismatchStats"] = {
  since: NOW, before: null, step_seconds: 600, now: OPEN, open: 1, resolved: 2, classes: [], subjects: [], severities: [],
  series: [{ at: NOW, counts: { AMOUNT_MISMATCH: 6 } }],
}; // prettier-ignore

let asked = 0;
const server = setupServer(
  http.get("*/status", () => HttpResponse.json(STATUS)),
  http.get("*/transactions/stats", () => HttpResponse.json(VERDICTS)),
  http.get("*/mismatches/stats", () => {
    asked += 1;
    return HttpResponse.json(BREAKS);
  }),
);
beforeAll(() => server.listen({ onUnhandledFrame: "error" }));
afterEach(() => server.resetHandlers());
afterAll(() => server.close());

function show() {
  asked = 0;
  const session = { token: () => Promise.resolve("token"), refresh: () => Promise.resolve(true) } as unknown as Session;
  const live = new LiveSocket({ address: () => Promise.reject(new Error("no socket here")), token: () => session.token(), onExpired: () => undefined });
  const app: App = { session, me: { permissions: ["stats:read"] } as unknown as App["me"], api: connect(session), live };
  const root = createRootRoute();
  const overview = createRoute({ getParentRoute: () => root, path: "/", validateSearch: OverviewSearch, component: Overview });
  // as tables: jsdom has no canvas
  const history = createMemoryHistory({ initialEntries: [`/?tables=${encodeURIComponent('["verdicts","breaks"]')}`] });
  const router = createRouter({ routeTree: root.addChildren([overview]), history });
  render(
    <AppContext value={app}>
      <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
        <Tooltip.Provider>
          <RouterProvider router={router as never} />
        </Tooltip.Provider>
      </QueryClientProvider>
    </AppContext>,
  );
  return router;
}

const addressOf = (name: RegExp) => decodeURIComponent(screen.getByRole("link", { name }).getAttribute("href") ?? "");

it("says what is open now, whenever it was opened, and leads to it", async () => {
  show();
  await screen.findByText("2 critical breaks are open.");
  expect(addressOf(/^5 open breaks/)).toBe("/exceptions?state=OPEN");
  expect(addressOf(/^Amount\s*:\s*4/)).toBe('/exceptions?state=OPEN&class=["AMOUNT_MISMATCH"]');
  expect(addressOf(/^Gateway\s*:\s*5/)).toBe('/exceptions?state=OPEN&source=["GATEWAY"]');
  expect(addressOf(/^Critical\s*:\s*2/)).toBe('/exceptions?state=OPEN&severity=["CRITICAL"]');
  expect(addressOf(/^15 min to 1 h\s*:\s*3/)).toBe("/exceptions?state=OPEN&since=2026-11-26T09:10:00.000Z&before=2026-11-26T10:00:00.000Z");
  expect(addressOf(/^Less than 15 min\s*:\s*2/)).toBe("/exceptions?state=OPEN&since=2026-11-26T10:00:00.000Z");
  expect(screen.queryByRole("link", { name: /^More than 3 d/ })).toBeNull();
  // the limiter allows three in ten seconds for all tabs of an address
  expect(asked).toBe(1);
  expect(screen.getByText("All accounted for")).toBeTruthy();
  expect(screen.getByRole("region", { name: "Match rate, last 24 hours" }).textContent).toContain("75.00\u202f%");
  // two sums of 134702 minor units
  expect(screen.getByRole("region", { name: "Money at risk, now" }).textContent).toContain("2\u202f694.04");
});

it("keeps the period in the address", async () => {
  const router = show();
  await userEvent.click(await screen.findByRole("radio", { name: "7 d" }));
  await waitFor(() => expect(router.state.location.search).toMatchObject({ period: "7d", tables: ["verdicts", "breaks"] }));
  expect(await screen.findByRole("region", { name: "Match rate, last 7 days" })).toBeTruthy();
});

it("does not say that all is well where a check fails", async () => {
  const failing = STATUS.checks.map((check) => ({ ...check, holds: false, violations: 3 }));
  server.use(http.get("*/status", () => HttpResponse.json({ ...STATUS, holds: false, checks: failing })));
  show();
  expect(await screen.findByText(/This does not hold: Nothing goes back\./)).toBeTruthy();
  expect(screen.getByText("Not accounted for")).toBeTruthy();
});

it("says in the server's words why it shows nothing", async () => {
  const problem = { type: "urn:recon:problem:unavailable", detail: "PostgreSQL does not answer.", request_id: "r-1" };
  server.use(http.get("*/transactions/stats", () => HttpResponse.json(problem, { status: 503 })));
  show();
  expect((await screen.findByRole("alert")).textContent).toContain("PostgreSQL does not answer.");
});
