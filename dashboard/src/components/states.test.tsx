import { act, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { ApiError } from "@/api/client.ts";
import { Failed, Forbidden, Stale } from "./states.tsx";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

it("counts how old something is for eyes, and says it once to screen readers", () => {
  render(<Stale updatedAt={Date.now() - 40_000} />);
  const said = screen.getByRole("status").textContent;
  expect(said).toMatch(/Last update \d{4}-.* UTC$/);
  const shown = () => screen.getByText(/ago$/).textContent;
  const before = shown();
  act(() => void vi.advanceTimersByTime(5_000));
  expect(shown()).not.toBe(before);
  expect(screen.getByText(/ago$/).getAttribute("aria-hidden")).toBe("true");
  expect(screen.getByRole("status").textContent).toBe(said);
});

it("says at once that what is shown could not be brought up to date, and why", () => {
  const { rerender } = render(<Stale updatedAt={Date.now()} />);
  expect(screen.queryByRole("status")).toBeNull();
  rerender(<Stale updatedAt={Date.now()} error={new Error("The server does not answer.")} />);
  expect(screen.getByRole("status").textContent).toMatch(/^The server does not answer\. Last update/);
});

it("says that an attempt is recorded where the server refused it, and not where the page did", () => {
  const { rerender } = render(<Failed error={new ApiError(403, "No.")} />);
  expect(screen.getByRole("alert").textContent).toMatch(/recorded in the audit trail/);
  rerender(<Forbidden />);
  expect(screen.getByRole("alert").textContent).not.toMatch(/recorded/);
});
