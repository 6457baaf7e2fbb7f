import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { connect, type Schema } from "@/api/client.ts";
import { AppContext, type App } from "@/app/context.ts";
import type { ExceptionsSearch } from "@/app/searches.ts";
import type { Session } from "@/auth/keycloak.ts";
import { ExceptionFacets } from "./exceptions.tsx";

const FACETS: Schema["MismatchFacets"] = {
  state: [{ value: "OPEN", breaks: 7 }, { value: "RESOLVED", breaks: 2 }],
  class: [{ value: "AMOUNT_MISMATCH", breaks: 7 }, { value: "MISSING_ENTRY", breaks: 3 }],
  source: [{ value: "GATEWAY", breaks: 7 }],
  severity: [{ value: "HIGH", breaks: 7 }],
  currency: [{ value: "EUR", breaks: 5 }, { value: "USD", breaks: 2 }],
  capped: false,
}; // prettier-ignore

let asked: URLSearchParams[] = [];
const server = setupServer(
  http.get("*/mismatches/facets", ({ request }) => {
    asked.push(new URL(request.url).searchParams);
    return HttpResponse.json(FACETS);
  }),
);
beforeAll(() => server.listen({ onUnhandledFrame: "error" }));
afterAll(() => server.close());

async function show(search: ExceptionsSearch) {
  asked = [];
  const queries = new QueryClient();
  const session = { token: () => Promise.resolve("token") } as unknown as Session;
  const onSearch = vi.fn();
  const page = (given: ExceptionsSearch) => (
    <AppContext value={{ session, api: connect(session) } as App}>
      <QueryClientProvider client={queries}>
        <ExceptionFacets search={given} onSearch={onSearch} />
      </QueryClientProvider>
    </AppContext>
  );
  const { rerender, container } = render(page(search));
  await screen.findByRole("checkbox", { name: /^Amount/ });
  return { onSearch, container, change: (given: ExceptionsSearch) => rerender(page(given)) };
}

const name = (label: string, number: number) => new RegExp(`^${label}\\s*${number}$`);

it("asks with every filter that holds, and says what each value leads to", async () => {
  await show({ state: "RESOLVED", class: ["AMOUNT_MISMATCH"], source: ["MOBILE"], currency: "EUR", amount_min: "5", text: "T1", sort: "-amount" });
  expect(await screen.findByRole("checkbox", { name: name("Missing entry", 3) })).toHaveProperty("checked", false);
  expect(screen.getByRole("checkbox", { name: name("Amount", 7) })).toHaveProperty("checked", true);
  // chosen, so it stays where it can be taken off
  expect(screen.getByRole("checkbox", { name: name("Mobile", 0) })).toHaveProperty("checked", true);
  expect(screen.queryByRole("checkbox", { name: /^Direction/ })).toBeNull();
  expect(asked.map(String)).toEqual(["state=RESOLVED&class=AMOUNT_MISMATCH&source=MOBILE&currency=EUR&amount_min=5&text=T1"]);
});

it("changes to another currency without the limits of the one before", async () => {
  const { onSearch } = await show({ currency: "EUR", amount_min: "5", sort: "-amount" });
  await userEvent.click(await screen.findByRole("checkbox", { name: name("USD", 2) }));
  expect(onSearch).toHaveBeenLastCalledWith({ currency: "USD", sort: "-amount" });
  await userEvent.click(screen.getByRole("checkbox", { name: name("EUR", 5) }));
  expect(onSearch).toHaveBeenLastCalledWith({});
});

it("says that counts are of the filters before until those that hold are counted", async () => {
  const { container, change } = await show({});
  const isBusy = () => container.querySelector("[aria-busy]")?.getAttribute("aria-busy");
  expect(isBusy()).toBe("false");
  change({ text: "T1" });
  expect(isBusy()).toBe("true");
  await waitFor(() => expect(isBusy()).toBe("false"));
});
