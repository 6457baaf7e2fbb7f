import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { AuditSearch } from "@/app/searches.ts";
import { showPage } from "@/test/page.tsx";
import { Audit } from "./audit.tsx";

const NOW = "2026-11-26T10:00:00.000Z";
const VERIFIED = { ok: true, at: NOW, examined: 90, last_seq: 90, last_hash: "ab".repeat(32), faults: 0, examples: [] };
const entry = (seq: number, object: string) => ({
  seq, at: NOW, actor: "ann", role: "auditor", action: "transactions.read", object, outcome: "ALLOWED", address: "10.0.0.1", request_id: "r", session: "s",
  hash: "cd", detail: {},
}); // prettier-ignore

let exported: string[] = [];
let verification: object;
let entries: object[];
const down = () => HttpResponse.json({ detail: "The database does not answer." }, { status: 503 });
const server = setupServer(
  http.get("*/audit/verification", () => HttpResponse.json(verification)),
  http.get("*/audit/export", ({ request }) => {
    exported.push(new URL(request.url).search);
    return HttpResponse.text("seq\r\n", { headers: { "Content-Disposition": 'attachment; filename="audit.csv"' } });
  }),
  http.get("*/audit", () => HttpResponse.json({ items: entries, next: null })),
);
beforeAll(() => server.listen({ onUnhandledFrame: "error" }));
beforeEach(() => {
  verification = { last_seq: 0, verification: null };
  entries = [];
});
afterEach(() => {
  server.resetHandlers();
  exported = [];
  vi.restoreAllMocks();
});
afterAll(() => server.close());

const show = (query: string, permissions: string[]) => showPage({ path: "/audit", search: AuditSearch, page: Audit, permissions, query });

it("is exported with the filters that hold, and with no others", async () => {
  const user = userEvent.setup();
  vi.stubGlobal("URL", Object.assign(URL, { createObjectURL: () => "blob:1", revokeObjectURL: () => undefined }));
  const saved = vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(() => undefined);
  const page = show("?outcome=DENIED&since=nonsense", ["audit:read", "export"]);
  await user.click(await screen.findByRole("button", { name: "Export" }));
  await user.click(await screen.findByRole("menuitem", { name: /^NDJSON/ }));
  await waitFor(() => expect(saved).toHaveBeenCalledOnce());
  await user.type(await screen.findByRole("textbox", { name: "Who" }), "ann");
  await user.click(screen.getByRole("button", { name: "Search" }));
  await waitFor(() => expect(page.address()).toBe("/audit?actor=ann&outcome=DENIED"));
  await user.click(screen.getByRole("button", { name: "Export" }));
  await user.click(await screen.findByRole("menuitem", { name: /^CSV/ }));
  await waitFor(() => expect(saved).toHaveBeenCalledTimes(2));
  expect(exported).toEqual(["?outcome=DENIED&format=ndjson", "?actor=ann&outcome=DENIED&format=csv"]);
});

it("offers no export to who may only read", async () => {
  show("", ["audit:read"]);
  await screen.findByText("Nothing is recorded yet");
  expect(screen.queryByRole("button", { name: "Export" })).toBeNull();
});

it("knows that a search for nothing hides nothing", async () => {
  const user = userEvent.setup();
  show("", ["audit:read"]);
  await user.click(await screen.findByRole("button", { name: "Search" }));
  await screen.findByText("Nothing is recorded yet");
  expect(screen.queryByRole("button", { name: "Clear" })).toBeNull();
});

it("keeps a fault that was found on screen while it cannot be read anew, and says how old it is", async () => {
  const user = userEvent.setup();
  verification = { last_seq: 90, verification: { ...VERIFIED, ok: false, faults: 1, examples: [{ seq: 7, what: "its hash is another" }] } };
  show("", ["audit:read"]);
  await screen.findByText("1 fault in the chain");
  server.use(http.get("*/audit/verification", down));
  await user.click(screen.getByRole("button", { name: "Refresh" }));
  await screen.findAllByText(/^The database does not answer\. Last update/);
  expect(screen.getByText("1 fault in the chain")).toBeTruthy();
  expect(screen.getByText("Entry 7: its hash is another")).toBeTruthy();
});

it("says that the last verification could not be read, with a way to try again", async () => {
  const user = userEvent.setup();
  server.use(http.get("*/audit/verification", down));
  show("", ["audit:read"]);
  await screen.findByText("The database does not answer.");
  server.resetHandlers();
  await user.click(screen.getByRole("button", { name: "Try again" }));
  await screen.findByText("The chain has not been verified yet");
});

it("tells a trail that is shorter than when it was verified as grave", async () => {
  verification = { last_seq: 88, verification: VERIFIED };
  show("", ["audit:read"]);
  const alert = await screen.findByRole("alert");
  expect(alert.textContent).toBe("The trail is shorter than when it was verified: it ends at number 88 now, 2 entries have been removed.");
  expect(screen.queryByText(/come since/)).toBeNull();
});

it("says that the entries could not be read anew, beside those that were", async () => {
  const user = userEvent.setup();
  entries = [entry(1, "T1")];
  show("", ["audit:read"]);
  await screen.findByText("T1");
  server.use(http.get("*/audit", down));
  await user.click(screen.getByRole("button", { name: "Refresh" }));
  await screen.findAllByText(/^The database does not answer\. Last update/);
  expect(screen.getByText("T1")).toBeTruthy();
});

it("keeps the focus where one searches, and shows what holds after Clear", async () => {
  const user = userEvent.setup();
  const page = show("?outcome=DENIED", ["audit:read"]);
  const who = await screen.findByRole<HTMLInputElement>("textbox", { name: "Who" });
  await user.type(who, "ann{Enter}");
  await waitFor(() => expect(page.address()).toBe("/audit?actor=ann&outcome=DENIED"));
  expect(document.activeElement).toBe(who);
  await user.click(screen.getByRole("button", { name: "Clear" }));
  await waitFor(() => expect(who.value).toBe(""));
  expect(screen.getByRole<HTMLSelectElement>("combobox", { name: "Outcome" }).value).toBe("");
  expect(document.activeElement).toBe(who);
});

it("shows the whole of an object to who opens an entry", async () => {
  const user = userEvent.setup();
  entries = [entry(1, "T1")];
  show("", ["audit:read"]);
  await user.click(await screen.findByRole("button", { name: /^More/ }));
  expect(screen.getByText("Object", { selector: "dt" }).nextElementSibling?.textContent).toBe("T1");
});
