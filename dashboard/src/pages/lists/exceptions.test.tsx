import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import type { Schema } from "@/api/client.ts";
import { ExceptionsSearch } from "@/app/searches.ts";
import type { LinkState } from "@/live/socket.ts";
import { showPage } from "@/test/page.tsx";
import { Exceptions } from "./exceptions.tsx";

type Row = Schema["MismatchRow"];

const row = (number: number, changed: Partial<Row> = {}): Row => ({
  break_id: `b${number}`, txn_id: `T${number}`, class: "AMOUNT_MISMATCH", subtype: null, subject: "GATEWAY", severity: "HIGH", state: "OPEN", resolution: null,
  field: "amount_minor", expected: "12345", actual: "12300", delta: { minor: "-45", major: "-0.45", currency: "EUR" },
  at_risk: { minor: "45", major: "0.45", currency: "EUR" }, opened_at: "2026-11-26T10:00:00.000Z", ...changed,
} as Row); // prettier-ignore

let asked: URL[] = [];
let rows: Row[] = [];
let next: string | null = null;
const lists = () => asked.filter(({ pathname }) => pathname === "/mismatches");
const server = setupServer(
  http.get("*/mismatches/facets", () => HttpResponse.json({ state: [], class: [], source: [], severity: [], currency: [], capped: false })),
  http.get("*/mismatches/export", ({ request }) => {
    asked.push(new URL(request.url));
    return HttpResponse.text("break_id\r\n", { headers: { "Content-Type": "text/csv; charset=utf-8", "Content-Disposition": 'attachment; filename="mismatches.csv"' } });
  }),
  http.get("*/mismatches", ({ request }) => {
    asked.push(new URL(request.url));
    return HttpResponse.json({ items: rows, next: new URL(request.url).searchParams.has("after") ? null : next });
  }),
);
beforeAll(() => server.listen({ onUnhandledFrame: "error" }));
beforeEach(() => {
  asked = [];
  next = null;
  rows = [row(1), row(2), row(3)];
});
afterEach(() => {
  server.resetHandlers();
  vi.restoreAllMocks();
});
afterAll(() => server.close());

const show = (query = "", permissions = ["transactions:read", "accounts:read", "export"], link?: LinkState) =>
  showPage({ path: "/exceptions", search: ExceptionsSearch, page: Exceptions, permissions, query, ...(link && { link }) });
const rowOf = async (txn: string) => {
  const row = (await screen.findByTitle(txn)).closest<HTMLElement>('[role="row"]');
  if (!row) throw new Error(`${txn} stands in no row`);
  return row;
};
const active = () => screen.getByRole("grid").getAttribute("aria-activedescendant");

it("is walked through by j and k, and opened by Enter", async () => {
  const user = userEvent.setup();
  const page = show();
  await rowOf("T1");
  await user.keyboard("j");
  expect(active()).toBe("row-1");
  await user.keyboard("jk");
  expect(active()).toBe("row-1");
  await user.keyboard("kkk");
  expect(active()).toBe("row-0");
  await user.keyboard("jjjjj{Enter}");
  await waitFor(() => expect(page.address()).toBe("/transactions/T3?break=b3"));
});

it("has rows chosen by x, which are exported as they stand", async () => {
  const user = userEvent.setup();
  const files: Blob[] = [];
  vi.stubGlobal("URL", Object.assign(URL, { createObjectURL: (blob: Blob) => `blob:${files.push(blob)}`, revokeObjectURL: () => undefined }));
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(() => undefined);
  rows = [row(1, { txn_id: "=T1" }), row(2), row(3, { at_risk: { minor: "45", major: null, currency: "XYZ" } })];
  show();
  await rowOf("T3");
  await user.keyboard("xjjx");
  const chosen = screen.getByRole("region", { name: "Chosen rows" });
  expect(within(chosen).getByText("2 rows chosen")).toBeTruthy();
  await user.click(within(chosen).getByRole("button", { name: "Export these" }));
  const lines = (await files[0]?.text())?.trim().split("\r\n");
  expect(lines).toEqual([
    "break_id,txn_id,class,subject,severity,state,field,expected,actual,delta,delta_minor,at_risk,at_risk_minor,currency,opened_at",
    "b1,'=T1,AMOUNT_MISMATCH,GATEWAY,HIGH,OPEN,amount_minor,12345,12300,-0.45,-45,0.45,45,EUR,2026-11-26T10:00:00.000Z",
    "b3,T3,AMOUNT_MISMATCH,GATEWAY,HIGH,OPEN,amount_minor,12345,12300,-0.45,-45,,45,XYZ,2026-11-26T10:00:00.000Z",
  ]);
  await user.keyboard("x");
  expect(within(chosen).getByText("1 row chosen")).toBeTruthy();
});

it("has a search that / leads to, and that stands in the address", async () => {
  const user = userEvent.setup();
  const page = show();
  await rowOf("T1");
  await user.keyboard("/");
  expect(document.activeElement).toBe(screen.getByRole("searchbox"));
  await user.keyboard("INV-7{Enter}");
  await waitFor(() => expect(lists().at(-1)?.searchParams.get("text")).toBe("INV-7"));
  expect(page.address()).toBe("/exceptions?text=INV-7");
  await user.click(await screen.findByRole("button", { name: "Remove the filter Text: INV-7" }));
  await waitFor(() => expect(page.address()).toBe("/exceptions"));
});

it("never moves rows by itself: what is new waits behind a button, and what has changed says so in its place", async () => {
  const user = userEvent.setup();
  const page = show();
  await rowOf("T1");
  page.tell("mismatches", [
    { txn_id: "T9", breaks: [{ break_id: "b9", state: "OPEN" }] },
    { txn_id: "T2", breaks: [{ break_id: "b2", state: "RESOLVED" }] },
  ] as never);
  const pill = await screen.findByRole("button", { name: /^1 new/ });
  expect((await rowOf("T2")).textContent).toContain("now resolved");
  expect(screen.queryByTitle("T9")).toBeNull();
  expect(lists()).toHaveLength(1);
  rows = [row(9), row(1), row(3)];
  await user.keyboard("n");
  await rowOf("T9");
  expect(pill.isConnected).toBe(false);
  expect(screen.queryByTitle("T2")).toBeNull();
});

const now9 = { txn_id: "T9", revision: 1, breaks: [{ break_id: "b9", state: "OPEN" }] } as never;

it("keeps saying what is new where the database does not have it yet", async () => {
  const user = userEvent.setup();
  const page = show();
  await rowOf("T1");
  page.tell("mismatches", [now9]);
  await user.click(await screen.findByRole("button", { name: /^1 new/ }));
  await waitFor(() => expect(lists()).toHaveLength(2));
  const pill = await screen.findByRole("button", { name: /^1 new/ });
  rows = [row(9), row(1)];
  await user.click(pill);
  await rowOf("T9");
  expect(screen.queryByRole("button", { name: /new/ })).toBeNull();
});

it("does not count what may be in rows that have not been read", async () => {
  rows = Array.from({ length: 200 }, (_, number) => row(number));
  next = "cursor";
  const page = show();
  await rowOf("T1");
  page.tell("mismatches", [{ txn_id: "T999", revision: 1, breaks: [{ break_id: "b999", state: "OPEN" }] } as never]);
  await screen.findByRole("button", { name: /^1 new/ });
  page.tell("mismatches", [{ txn_id: "T998", revision: 4, breaks: [{ break_id: "b998", state: "OPEN" }] } as never]);
  await screen.findByRole("button", { name: /^There is news that may fit/ });
});

it("stays as it is where news was lost, and says that there may be some", async () => {
  const user = userEvent.setup();
  const page = show();
  const grid = (await rowOf("T1")).closest("[role=grid]");
  rows = [row(4)];
  page.hear("mismatches", "onReload");
  const pill = await screen.findByRole("button", { name: /^The list may have changed/ });
  expect([lists().length, grid?.isConnected]).toEqual([1, true]);
  await user.click(pill);
  await rowOf("T4");
  expect([grid?.isConnected, pill.isConnected]).toEqual([true, false]);
});

it.each([true, false])("is compared with what holds where it was read before it was followed (changed: %s)", async (isChanged) => {
  const page = show();
  await rowOf("T1");
  if (isChanged) rows = [row(9), ...rows];
  page.hear("mismatches", "onBegin");
  await waitFor(() => expect(lists()).toHaveLength(2));
  if (isChanged) await screen.findByRole("button", { name: /^The list may have changed/ });
  else await new Promise((resolve) => setTimeout(resolve, 100));
  expect(screen.queryAllByRole("button", { name: /^The list may have changed/ })).toHaveLength(isChanged ? 1 : 0);
  expect(screen.queryByTitle("T9")).toBeNull();
});

it("takes back what it said of a break that is again as it was, and counts none that does not belong into the list", async () => {
  const page = show('?class=["AMOUNT_MISMATCH"]');
  await rowOf("T1");
  const now = (txn: string, id: string, state: string, kind = "AMOUNT_MISMATCH") => ({ txn_id: txn, breaks: [{ break_id: id, state, class: kind, subject: "GATEWAY", severity: "HIGH" }] });
  page.tell("mismatches", [now("T2", "b2", "RESOLVED"), now("T8", "b8", "OPEN"), now("T9", "b9", "OPEN"), now("T7", "b7", "OPEN", "MISSING_EVENT")] as never);
  await screen.findByRole("button", { name: /^2 new/ });
  expect((await rowOf("T2")).textContent).toContain("now resolved");
  page.tell("mismatches", [now("T2", "b2", "OPEN"), now("T8", "b8", "RESOLVED")] as never);
  await screen.findByRole("button", { name: /^1 new/ });
  expect((await rowOf("T2")).textContent).not.toContain("now resolved");
});

it("cuts no amount, however large", async () => {
  const large = { minor: "123456789012", major: "1234567890.12", currency: "EUR" };
  rows = [row(1, { delta: large, at_risk: large, expected: "1", actual: "123456789013" }), row(2)];
  show();
  const line = await rowOf("T1");
  // "0.01 → 1 234 567 890.13", "+1 234 567 890.12", "1 234 567 890.12 EUR"; spaces and points take half of a digit
  for (const digits of [20, 15, 18]) expect(line.style.gridTemplateColumns).toContain(`${digits}ch + 1rem`);
  const cell = within(line).getByText(/^\+1.234.567.890\.12$/).closest("[role=gridcell]");
  expect(cell?.outerHTML).not.toContain("truncate");
});

it("tells times of day of different days apart", async () => {
  const [first, second] = ["2026-11-25T10:00:00Z", "2026-11-26T10:00:00Z"].map((at) => String(Date.parse(at)));
  rows = [row(1, { field: "occurred_at", expected: first, actual: second }), row(2)];
  show();
  expect((await rowOf("T1")).textContent).toContain("→ 10:00:00.000 +1 d");
});

it("chooses nothing by the space bar on a header", async () => {
  const user = userEvent.setup();
  const page = show();
  (await screen.findByRole("button", { name: /^Opened/ })).focus();
  await user.keyboard(" ");
  await waitFor(() => expect(page.address()).toBe("/exceptions?sort=opened_at"));
  expect(screen.queryByRole("region", { name: "Chosen rows" })).toBeNull();
});

it("forgets what was new of another list", async () => {
  const user = userEvent.setup();
  const page = show();
  await rowOf("T1");
  page.tell("mismatches", [{ txn_id: "T9", breaks: [{ break_id: "b9", state: "OPEN" }] }] as never);
  await screen.findByRole("button", { name: /^1 new/ });
  await user.click(screen.getByRole("radio", { name: "Resolved" }));
  await waitFor(() => expect(page.address()).toBe("/exceptions?state=RESOLVED"));
  expect(screen.queryByRole("button", { name: /^1 new/ })).toBeNull();
});

it("is sorted by its headers, by amounts only within a currency", async () => {
  const user = userEvent.setup();
  const page = show();
  await user.click(await screen.findByRole("button", { name: /^Opened/ }));
  await waitFor(() => expect(lists().at(-1)?.searchParams.get("sort")).toBe("opened_at"));
  await user.click(await screen.findByRole("button", { name: /^At risk/ }));
  await screen.findByText(/^Amounts compare within a currency only/);
  expect(page.address()).toBe("/exceptions?sort=opened_at");
});

it("is sorted by amount where there is one currency", async () => {
  const user = userEvent.setup();
  show("?currency=EUR");
  await user.click(await screen.findByRole("button", { name: /^At risk/ }));
  await waitFor(() => expect(lists().at(-1)?.search).toContain("sort=-amount"));
  const header = await screen.findByRole("columnheader", { name: /^At risk/ });
  expect(header.getAttribute("aria-sort")).toBe("descending");
});

it("shows the columns that were chosen in this browser, and rows as high as they were chosen", async () => {
  const user = userEvent.setup();
  show();
  expect((await rowOf("T1")).style.height).toBe("44px");
  await user.click(screen.getByRole("button", { name: "Columns" }));
  await user.click(await screen.findByRole("menuitemcheckbox", { name: /Difference/ }));
  await user.click(screen.getByRole("menuitemcheckbox", { name: "Compact rows" }));
  await user.keyboard("{Escape}");
  await waitFor(() => expect(screen.queryByRole("columnheader", { name: "Difference" })).toBeNull());
  expect(screen.getByRole("columnheader", { name: "Expected → said" })).toBeTruthy();
  expect((await rowOf("T1")).style.height).toBe("32px");
  expect(JSON.parse(localStorage.getItem("recon.columns.mismatches") ?? "")).toEqual({ delta: true });
});

it("keeps views under names, which bring their filters back", async () => {
  const user = userEvent.setup();
  const page = show('?class=["AMOUNT_MISMATCH"]&currency=EUR');
  await rowOf("T1");
  await user.click(screen.getByRole("button", { name: "Views" }));
  await user.click(await screen.findByRole("menuitem", { name: "Save this view…" }));
  await user.type(await screen.findByRole("textbox", { name: /^Name/ }), "Mine");
  fireEvent.click(screen.getByRole("button", { name: "Save" }));
  await user.click(screen.getByRole("button", { name: /^Clear all/ }));
  await waitFor(() => expect(page.address()).toBe("/exceptions"));
  await user.click(screen.getByRole("button", { name: "Views" }));
  await user.click(await screen.findByRole("menuitem", { name: "Mine" }));
  await waitFor(() => expect(page.address()).toBe('/exceptions?class=["AMOUNT_MISMATCH"]&currency=EUR'));
  await user.click(screen.getByRole("button", { name: "Views" }));
  await user.click(await screen.findByRole("menuitem", { name: "Delete “Mine”" }));
  expect(localStorage.getItem("recon.views.mismatches")).toBe("[]");
});

it("is exported by the server with the filters that hold, and a failure is told", async () => {
  const user = userEvent.setup();
  vi.stubGlobal("URL", Object.assign(URL, { createObjectURL: () => "blob:1", revokeObjectURL: () => undefined }));
  const saved = vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(() => undefined);
  show('?severity=["HIGH"]');
  await rowOf("T1");
  await user.click(screen.getByRole("button", { name: "Export" }));
  await user.click(await screen.findByRole("menuitem", { name: /^CSV/ }));
  await waitFor(() => expect(saved).toHaveBeenCalledOnce());
  expect(asked.at(-1)?.pathname).toBe("/mismatches/export");
  expect(asked.at(-1)?.search).toBe("?severity=HIGH&format=csv");
  await screen.findByText("0 rows saved.");
  const cut = 'break_id\r\nb1\r\nb2\r\n"CUT: there are more than 2 rows; narrow the filters, or raise RECON_EXPORT_ROWS_MAX"\r\n';
  server.use(http.get("*/mismatches/export", () => HttpResponse.text(cut, { headers: { "Content-Type": "text/csv; charset=utf-8" } })));
  await user.click(await screen.findByRole("button", { name: "Export" }));
  await user.click(await screen.findByRole("menuitem", { name: /^CSV/ }));
  await screen.findByText("Only the first 2 rows were saved, and there are more. Narrow the filters to have all.");
  server.use(http.get("*/mismatches/export", () => HttpResponse.json({ detail: "That takes the database too long." }, { status: 503 })));
  await user.click(await screen.findByRole("button", { name: "Export" }));
  await user.click(await screen.findByRole("menuitem", { name: /^NDJSON/ }));
  await screen.findByText("The export failed: That takes the database too long.");
});

it("offers no export to who may not", async () => {
  show("", ["transactions:read"]);
  await rowOf("T1");
  expect(screen.queryByRole("button", { name: "Export" })).toBeNull();
});

/** Answers no list from now on, until what it returns is called. */
function hold(): () => void {
  let answer: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (answer = resolve));
  const empty = { items: [], next: null };
  server.use(
    http.get("*/mismatches", async () => {
      await held;
      return HttpResponse.json({ ...empty, items: rows });
    }),
  );
  return answer;
}

it("shows rows of the filters before as such, and lets none of them be chosen", async () => {
  const user = userEvent.setup();
  show();
  await rowOf("T1");
  await user.keyboard("x");
  await screen.findByRole("region", { name: "Chosen rows" });
  const answer = hold();
  rows = [row(7)];
  await user.click(screen.getByRole("radio", { name: "Resolved" }));
  await screen.findByText("Reading…");
  expect(screen.getByRole("grid").getAttribute("aria-busy")).toBe("true");
  await rowOf("T1");
  screen.getByRole("grid").focus();
  await user.keyboard("x");
  expect(screen.queryByRole("region", { name: "Chosen rows" })).toBeNull();
  answer();
  await rowOf("T7");
  expect(screen.getByRole("grid").getAttribute("aria-busy")).toBe("false");
  expect(screen.queryByText("Reading…")).toBeNull();
});

it("does not say that a list is empty that is being read", async () => {
  const user = userEvent.setup();
  rows = [];
  show();
  await screen.findByText("No open breaks");
  const answer = hold();
  await user.click(screen.getByRole("radio", { name: "Resolved" }));
  await screen.findByText("Loading exceptions");
  answer();
  await screen.findByText("No break has been resolved yet");
});

it("has no order by amount once no currency is chosen", async () => {
  const user = userEvent.setup();
  const page = show("?currency=EUR&sort=-amount");
  await rowOf("T1");
  await user.click(screen.getByRole("button", { name: "More filters" }));
  await user.clear(await screen.findByRole("textbox", { name: "Currency" }));
  fireEvent.click(screen.getByRole("button", { name: "Apply" }));
  await waitFor(() => expect(page.address()).toBe("/exceptions"));
  expect((await screen.findByRole("columnheader", { name: /^At risk/ })).getAttribute("aria-sort")).toBe("none");
});

it("tells the order that holds, whatever stands in the address", async () => {
  show("?sort=-amount");
  await rowOf("T1");
  expect(screen.getByRole("columnheader", { name: /^At risk/ }).getAttribute("aria-sort")).toBe("none");
  expect(screen.getByRole("columnheader", { name: /^Opened/ }).getAttribute("aria-sort")).toBe("descending");
});

it("has no row chosen that is not among its own", async () => {
  const user = userEvent.setup();
  const page = show();
  await rowOf("T3");
  await user.keyboard("xjx");
  await screen.findByText("2 rows chosen");
  page.hear("mismatches", "onReload");
  await user.keyboard("n");
  await waitFor(() => expect(screen.queryByRole("region", { name: "Chosen rows" })).toBeNull());
});

it("names a row that is there, wherever it is scrolled to", async () => {
  rows = Array.from({ length: 80 }, (_, number) => row(number));
  show();
  await rowOf("T1");
  const grid = screen.getByRole("grid");
  grid.scrollTop = 60 * 44;
  fireEvent.scroll(grid);
  await rowOf("T60");
  expect(screen.queryByTitle("T1")).toBeNull();
  expect(document.getElementById(active() ?? "")?.textContent).toContain("T0");
});

it("says how old it is where no link tells what has changed", async () => {
  show("", ["transactions:read"], "reconnecting");
  await rowOf("T1");
  await screen.findByText(/^Read \d+ s ago\.$/);
});

it("says nothing of its age where it is followed", async () => {
  show();
  await rowOf("T1");
  expect(screen.queryByText(/^Read \d+ s ago/)).toBeNull();
});

it("leads from the search to the list, and passes the focus on from what vanishes", async () => {
  const user = userEvent.setup();
  const page = show('?class=["AMOUNT_MISMATCH","MISSING_ENTRY"]');
  await rowOf("T1");
  const input = screen.getByRole("searchbox");
  await user.type(input, "INV-7{Enter}");
  await screen.findByRole("button", { name: "Remove the filter Text: INV-7" });
  expect(document.activeElement).toBe(screen.getByRole("grid"));
  await user.click(screen.getByRole("button", { name: "Remove the filter Class: Amount" }));
  await waitFor(() => expect(document.activeElement?.textContent).toBe("Class: Missing entry"));
  await user.keyboard("{Enter}");
  await waitFor(() => expect(document.activeElement?.textContent).toBe("Text: INV-7"));
  await user.keyboard("{Enter}");
  await waitFor(() => expect(document.activeElement).toBe(screen.getByRole("grid")));
  expect([page.address(), (input as HTMLInputElement).value]).toEqual(["/exceptions", ""]);
  page.tell("mismatches", [now9]);
  await user.click(await screen.findByRole("button", { name: /^1 new/ }));
  await waitFor(() => expect(document.activeElement).toBe(screen.getByRole("grid")));
});

it("says why it is empty", async () => {
  rows = [];
  const user = userEvent.setup();
  const page = show('?severity=["LOW"]');
  await screen.findByText("Nothing fits these filters");
  await user.click(screen.getByRole("button", { name: "Clear all filters" }));
  await screen.findByText("No open breaks");
  expect(page.address()).toBe("/exceptions");
});
