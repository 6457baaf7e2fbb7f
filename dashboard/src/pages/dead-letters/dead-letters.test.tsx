import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import type { Schema } from "@/api/client.ts";
import { DeadLettersSearch } from "@/app/searches.ts";
import { showPage } from "@/test/page.tsx";
import { DeadLetters } from "./dead-letters.tsx";

const ID = "core_txns:0:7";
const NOW = "2026-11-26T10:00:00.000Z";

interface Told {
  kind: string;
  request_key: string;
  comment: string | null;
  dry_run: boolean;
}

let told: Told[] = [];
let state = "OPEN";
let actions: object[] = [];
let plan = "DO";
const row = () => ({ id: ID, failed_at: NOW, reason: "UNKNOWN_STATUS", detail: "status 'BOOKED' is not known", state, topic: "core_txns" });
const letter = () => ({
  ...row(), kafka_timestamp: NOW, schema_id: 3, letter: { topic: "recon_dead_letters", partition: 0, offset: "2" }, is_archived: true, actions,
  key: { text: "T7", hex: "5437", size: 2, is_cut: false }, value: { text: "?T7", hex: "005437", size: 3, is_cut: false },
}) as unknown as Schema["DeadLetter"]; // prettier-ignore
const act = http.post("*/dead-letters/:id/:kind", async ({ request, params }) => {
  const body = (await request.json()) as Omit<Told, "kind">;
  told.push({ ...body, kind: params.kind as string });
  if (!body.dry_run) {
    state = params.kind === "replay" ? "REPLAYED" : "DISCARDED";
    actions = [{ request_key: body.request_key, action: "REPLAY", actor: "ann", asked_at: NOW, done_at: NOW, sent: null, comment: body.comment }];
  }
  return HttpResponse.json({ plan, dry_run: body.dry_run });
});
const server = setupServer(
  act,
  http.get("*/dead-letters/reasons", () => HttpResponse.json({ items: [{ reason: "UNKNOWN_STATUS", open: 1, replayed: 0, discarded: 0 }] })),
  http.get("*/dead-letters/:id", () => HttpResponse.json(letter())),
  http.get("*/dead-letters", ({ request }) => {
    const wanted = new URL(request.url).searchParams.get("state");
    return HttpResponse.json({ items: wanted === state ? [row()] : [], next: null });
  }),
);
beforeAll(() => server.listen({ onUnhandledFrame: "error" }));
beforeEach(() => {
  told = [];
  state = "OPEN";
  actions = [];
  plan = "DO";
});
afterEach(() => server.resetHandlers());
afterAll(() => server.close());

const MAY = ["dead-letters:read", "dead-letters:replay"];
const show = (query = "", permissions = MAY) => showPage({ path: "/dead-letters", search: DeadLettersSearch, page: DeadLetters, permissions, query });
const dialog = () => screen.findByRole("dialog", { name: "Dead letter" });
const button = (name: string | RegExp) => screen.findByRole("button", { name });

it("says why a record was refused and what to do, at an address of its own", async () => {
  const user = userEvent.setup();
  const page = show();
  await user.click(await button(ID));
  expect(page.address()).toBe(`/dead-letters?letter=${ID}`);
  const open = within(await dialog());
  await open.findByText("Add the status to the rules, then replay.");
  expect(open.getByRole("region", { name: "Bytes of the value" }).textContent).toBe("?T7");
  const [, ofValue] = open.getAllByRole("button", { name: "As hexadecimal" });
  if (ofValue) await user.click(ofValue);
  expect(open.getByRole("region", { name: "Bytes of the value" }).textContent).toBe("00 54 37");
});

it("tries a replay before it is done, with the reason for the audit trail, under one name", async () => {
  const user = userEvent.setup();
  show(`?letter=${ID}`);
  await user.type(await screen.findByRole("textbox", { name: /^Why/ }), " Status was added ");
  await user.click(await button("Replay…"));
  await screen.findByText(/^This would be done now/);
  expect(told).toMatchObject([{ kind: "replay", dry_run: true, comment: "Status was added" }]);
  await user.click(await button("Send it now"));
  await screen.findByText(`${ID} was sent once more.`);
  expect(told).toHaveLength(2);
  expect(told[1]).toEqual({ ...told[0], dry_run: false });
  // the list is read anew
  await screen.findByText("No open dead letters");
});

it("discards only after it was confirmed, and goes back at will", async () => {
  const user = userEvent.setup();
  show(`?letter=${ID}`);
  await user.click(await button("Discard…"));
  await user.click(await button("Back"));
  expect(screen.queryByRole("button", { name: "Discard it now" })).toBeNull();
  await user.click(await button("Discard…"));
  await user.click(await button("Discard it now"));
  await screen.findByText(`${ID} was discarded.`);
  expect(told.map(({ kind, dry_run }) => [kind, dry_run])).toEqual([
    ["discard", true],
    ["discard", true],
    ["discard", false],
  ]);
  expect(new Set(told.map(({ request_key }) => request_key)).size).toBe(1);
});

it.each([
  ["ALREADY", /^Somebody has replayed or discarded it already/],
  ["NOTHING_TO_SEND", /^The archive does not hold the whole record/],
])("offers nothing to do where the trial says %s", async (outcome, words) => {
  plan = outcome;
  const user = userEvent.setup();
  show(`?letter=${ID}`);
  await user.click(await button("Replay…"));
  await screen.findByText(words);
  expect(screen.queryByRole("button", { name: "Send it now" })).toBeNull();
});

it("says where an outcome is not known, and does the same thing again under the same name", async () => {
  const user = userEvent.setup();
  show(`?letter=${ID}`);
  await user.click(await button("Replay…"));
  server.use(
    http.post("*/dead-letters/:id/replay", async ({ request }) => {
      told.push((await request.json()) as Told);
      return HttpResponse.json({ detail: "Kafka does not answer." }, { status: 503 });
    }),
  );
  await user.click(await button("Send it now"));
  const alert = await within(await dialog()).findByRole("alert");
  expect(alert.textContent).toBe("Kafka does not answer. It is not known whether it was done; doing it again is safe.");
  server.resetHandlers();
  await user.click(await button("Send it now"));
  await screen.findByText("No open dead letters");
  expect(told.map(({ dry_run }) => dry_run)).toEqual([true, false, false]);
  expect(new Set(told.map(({ request_key }) => request_key)).size).toBe(1);
});

it("never sends by a double click, and has the way back under the focus", async () => {
  const user = userEvent.setup();
  show(`?letter=${ID}`);
  const replay = await button("Replay…");
  await user.dblClick(replay);
  const back = await button("Back");
  expect(document.activeElement).toBe(back);
  // where the pointer is, there is still the same button, which does nothing now
  expect(screen.getByRole("button", { name: "Replay…" })).toBe(replay);
  await user.dblClick(replay);
  await user.dblClick(screen.getByRole("button", { name: "Discard…" }));
  expect(told.map(({ dry_run }) => dry_run)).toEqual([true]);
  await user.click(back);
  expect(document.activeElement).toBe(replay);
});

it("has the focus at what was done, once the buttons are gone", async () => {
  const user = userEvent.setup();
  show(`?letter=${ID}`);
  await user.click(await button("Replay…"));
  await user.click(await button("Send it now"));
  const done = await screen.findByText("What was done");
  await waitFor(() => expect(document.activeElement).toBe(done));
});

it("does not know the outcome either where nothing answered, and knows that a refusal did nothing", async () => {
  const user = userEvent.setup();
  show(`?letter=${ID}`);
  await user.click(await button("Replay…"));
  await button("Send it now");
  server.use(http.post("*/dead-letters/:id/replay", () => HttpResponse.error()));
  await user.click(await button("Send it now"));
  await screen.findByText("The server does not answer. It is not known whether it was done; doing it again is safe.");
  server.use(http.post("*/dead-letters/:id/replay", () => HttpResponse.json({ detail: "Your role does not allow it." }, { status: 403 })));
  await user.click(await button("Send it now"));
  await screen.findByText("Your role does not allow it.");
});

it("shows who may only read no way to act", async () => {
  show(`?letter=${ID}`, ["dead-letters:read"]);
  await screen.findByText("Add the status to the rules, then replay.");
  expect(screen.queryByRole("button", { name: "Replay…" })).toBeNull();
  expect(screen.queryByRole("button", { name: "Discard…" })).toBeNull();
});

const fresh = (reason: string, offset: string) => ({ reason, place: { topic: "core_txns", partition: 0, offset } });

it("lets new letters wait behind a button until they are there, and says where they could not be read", async () => {
  const user = userEvent.setup();
  const page = show();
  await button(ID);
  page.tell("dead_letters", [fresh("BAD_AVRO", "8"), fresh("BAD_KEY", "9")]);
  server.use(http.get("*/dead-letters", () => HttpResponse.json({ detail: "The database does not answer." }, { status: 503 })));
  await user.click(await button("2 new"));
  await screen.findAllByText(/^The database does not answer\. Last update/);
  expect(screen.getByRole("button", { name: ID })).toBeTruthy();
  server.use(http.get("*/dead-letters", () => HttpResponse.json({ items: [9, 8, 7].map((offset) => ({ ...row(), id: `core_txns:0:${offset}` })), next: null })));
  await user.click(await button("2 new"));
  await waitFor(() => expect(screen.queryByRole("button", { name: "2 new" })).toBeNull());
  expect(screen.queryByText(/Last update/)).toBeNull();
});

it("counts as new what fits the filters alone", async () => {
  const user = userEvent.setup();
  const page = show("?reason=BAD_KEY");
  await button(ID);
  page.tell("dead_letters", [fresh("BAD_AVRO", "8"), fresh("BAD_KEY", "9")]);
  await button("1 new");
  await user.click(screen.getByRole("radio", { name: "Discarded" }));
  await waitFor(() => expect(screen.queryByRole("button", { name: /new$/ })).toBeNull());
});

it("is narrowed by reason, and says so where nothing fits", async () => {
  const user = userEvent.setup();
  const page = show();
  await user.click(await screen.findByRole("button", { name: /^Unknown status/, pressed: false }));
  expect(page.address()).toBe("/dead-letters?reason=UNKNOWN_STATUS");
  await user.click(screen.getByRole("radio", { name: "Discarded" }));
  await user.click(await button("Clear all filters"));
  await screen.findByText("None has been discarded");
});
