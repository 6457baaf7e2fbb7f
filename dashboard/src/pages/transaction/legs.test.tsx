import { render, screen, within } from "@testing-library/react";
import { Tooltip } from "radix-ui";
import { expect, it } from "vitest";
import type { Schema } from "@/api/client.ts";
import { Legs } from "./legs.tsx";

const leg = (occurred_at: string) =>
  ({
    amount: { minor: "100", major: "1.00", currency: "EUR" }, direction: "DEBIT", canonical_status: "SUCCESS", status: "OK", account: "A1", reference: null,
    occurred_at, event_id: "E1", revision: 0, schema_id: 1, place: { topic: "core_txns", partition: 0, offset: "1" },
  }) as unknown as Schema["LegView"]; // prettier-ignore

it("shows a tolerated difference of times to the millisecond", () => {
  const legs = { CORE: leg("2026-11-26T14:35:43.163Z"), GATEWAY: leg("2026-11-26T14:35:43.655Z"), MOBILE: leg("2026-11-26T14:35:43.163Z") };
  render(<Legs legs={legs} breaks={[]} isPending={false} />, { wrapper: Tooltip.Provider });
  const cells = within(screen.getByRole("row", { name: /^Time/ })).getAllByRole("cell");
  expect(cells.map(({ textContent }) => textContent.replace("\u00a0", " "))).toEqual([
    "2026-11-26 14:35:43.163 UTC",
    "2026-11-26 14:35:43.655 UTC tolerated",
    "2026-11-26 14:35:43.163 UTC",
  ]);
});
