import { render, screen } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import type { Schema } from "@/api/client.ts";
import { Breaks } from "./breaks.tsx";

const brk = (break_id: string) => ({ break_id, class: "STATUS_MISMATCH", subtype: "", subject: "CORE", field: "status", expected: "A", actual: "B", delta: null, severity: "HIGH", state: "OPEN", resolution: null }) as Schema["BreakView"]; // prettier-ignore

it("says which break one came from, and brings it into view", () => {
  const scrolled = vi.spyOn(Element.prototype, "scrollIntoView");
  render(<Breaks breaks={[brk("b1"), brk("b2")]} chosen="b2" />);
  const [, first, second] = screen.getAllByRole("row");
  expect(first?.textContent).not.toMatch(/came from/);
  expect(second?.textContent).toMatch(/the one you came from/);
  expect(scrolled.mock.contexts).toEqual([second]);
});
