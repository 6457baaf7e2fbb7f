import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { Tooltip } from "radix-ui";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { connect, type Schema } from "@/api/client.ts";
import { AppContext, type App } from "@/app/context.ts";
import type { Session } from "@/auth/keycloak.ts";
import { LiveSocket } from "@/live/socket.ts";
import { System } from "./system.tsx";

const NOW = new Date().toISOString();
const STATUS: Schema["Status"] = {
  holds: false,
  checked_at: NOW,
  checks: [
    { name: "a", title: "This one holds", holds: true, examined: 7, violations: 0, examples: [], checked_at: NOW, held_at: NOW },
    { name: "b", title: "This one does not", holds: false, examined: 7, violations: 2, examples: ["core_txns:3:4411"], checked_at: NOW, held_at: null },
  ],
  topics: [{ topic: "core_txns", is_source: true, offset: "9007199254740993", per_second: 0, lag: null, stored_at: NOW, partitions: [] }],
  latency_ms: { p50: 210, p95: 1400 },
};
const HEALTH: Schema["SystemHealth"] = {
  version: "9.9.9",
  python: "3.11.15",
  dependencies: [{ name: "Kafka", answers: false, version: null, milliseconds: 3000, detail: "no answer within 3 s" }],
  groups: [{ role: "sink", state: "Empty", lag: 7, members: [] }],
};

let looks = 0;
const server = setupServer(
  http.get("*/status", () => HttpResponse.json(STATUS)),
  http.get("*/admin/system-health", () => {
    looks += 1;
    return HttpResponse.json(HEALTH);
  }),
);
beforeAll(() => server.listen({ onUnhandledFrame: "error" }));
afterEach(() => {
  looks = 0;
});
afterAll(() => server.close());

function show(...permissions: string[]) {
  const session = { config: { version: "9.9.9" }, token: () => Promise.resolve("token"), refresh: () => Promise.resolve(true) } as unknown as Session;
  const live = new LiveSocket({ address: () => Promise.reject(new Error("no socket here")), token: () => session.token(), onExpired: () => undefined });
  const app: App = { session, me: { permissions } as unknown as App["me"], api: connect(session), live };
  render(
    <AppContext value={app}>
      <QueryClientProvider client={new QueryClient()}>
        <Tooltip.Provider>
          <System />
        </Tooltip.Provider>
      </QueryClientProvider>
    </AppContext>,
  );
}

it("shows feeds and checks to everybody, what fails first, and every digit of an offset", async () => {
  show("stats:read");
  const [, first] = (await screen.findByRole("region", { name: "Checks: table" })).querySelectorAll("tr");
  expect(first?.textContent).toContain("This one does notcore_txns:3:4411");
  expect(first?.textContent).toContain("has never held");
  expect(screen.getByText("9 007 199 254 740 993")).toBeTruthy();
  expect(screen.getByText("not known")).toBeTruthy();
  expect(screen.getByText("after 210 ms, 95 % within 1.4 s")).toBeTruthy();
});

it("does not ask for what the role may not see: a refusal would be recorded as theirs", async () => {
  show("stats:read");
  await screen.findByRole("region", { name: "Checks: table" });
  expect(looks).toBe(0);
  expect(screen.queryByRole("heading", { name: "Dependencies" })).toBeNull();
});

it("tells administrators what does not answer and why", async () => {
  show("stats:read", "admin:read");
  expect(await screen.findByText("no answer within 3 s")).toBeTruthy();
  expect(screen.getByText("nobody works, 7 records to do")).toBeTruthy();
  expect(looks).toBe(1);
});
