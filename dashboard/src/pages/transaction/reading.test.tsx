import { act, screen, waitFor } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import type { Schema } from "@/api/client.ts";
import { TransactionSearch } from "@/app/searches.ts";
import { showPage } from "@/test/page.tsx";
import { WAITS_MS } from "./reading.ts";
import { Transaction } from "./transaction.tsx";

const NOW = "2026-11-26T10:00:00.000Z";
const stored = (revision: number, currency = "EUR") => ({
  txn_id: "T1", revision, verdict: "MATCHED", decided_at: NOW, rules_version: "1", amount: { minor: "100", major: "1.00", currency },
  explanation: [], legs: {}, breaks: [], revisions: [], moves: [],
}) as unknown as Schema["Transaction"]; // prettier-ignore

/** What the sink has stored: null is nothing, yet. */
let now: Schema["Transaction"] | null;
let looks = 0;
const server = setupServer(
  http.get("*/transactions/:id", () => {
    looks += 1;
    return now ? HttpResponse.json(now) : HttpResponse.json({ detail: "There is no such transaction." }, { status: 404 });
  }),
);
beforeAll(() => server.listen({ onUnhandledFrame: "error" }));
beforeEach(() => {
  now = stored(1);
  looks = 0;
  vi.useFakeTimers({ shouldAdvanceTime: true, toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"] });
});
afterEach(() => vi.useRealTimers());
afterAll(() => server.close());

const show = () =>
  showPage({ path: "/transactions/$txnId", address: "/transactions/T1", search: TransactionSearch, page: Transaction, permissions: ["transactions:read"] });
const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));

it("reads again until the revision that was told is stored, whatever became of its currency", async () => {
  const page = show();
  await screen.findByRole("heading", { name: "T1" });
  page.tell("results", [{ txn_id: "T1", revision: 3, verdict: "MATCHED", amount: stored(3, "USD").amount }]);
  await screen.findByText("Revision 3 is known, reading…");
  await waitFor(() => expect(looks).toBe(2));
  now = stored(2, "USD");
  await pass(1_000);
  await waitFor(() => expect(looks).toBeGreaterThan(2));
  expect(screen.getByText("Revision 3 is known, reading…")).toBeTruthy();
  now = stored(3, "USD");
  await pass(3_000);
  await waitFor(() => expect(screen.queryByText(/is known/)).toBeNull());
  const enough = looks;
  await pass(60_000);
  expect(looks).toBe(enough);
});

it("asks for a revision no longer than half a minute by itself, and then as often as it is told to", async () => {
  const page = show();
  await screen.findByRole("heading", { name: "T1" });
  page.tell("results", [{ txn_id: "T1", revision: 2 }]);
  for (const wait of WAITS_MS) await pass(wait + 1_000);
  const again = await screen.findByRole("button", { name: "Read again" });
  expect(screen.getByText("Revision 2 is known, but not stored yet.")).toBeTruthy();
  expect(looks).toBe(1 + WAITS_MS.length);
  now = stored(2);
  act(() => again.click());
  await waitFor(() => expect(screen.queryByText(/is known/)).toBeNull());
});

it("waits for a transaction that was told and is not stored yet", async () => {
  now = null;
  show();
  await screen.findByText("There is no such transaction yet");
  now = stored(1);
  await pass(2_000);
  await screen.findByRole("heading", { name: "T1" });
});

it("lets one try again where there is no such transaction", async () => {
  now = null;
  show();
  for (let second = 0; second < 20; second += 1) await pass(1_000);
  const again = await screen.findByRole("button", { name: "Try again" });
  expect(looks).toBe(5);
  now = stored(1);
  act(() => again.click());
  await screen.findByRole("heading", { name: "T1" });
});
