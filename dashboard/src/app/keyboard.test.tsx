import { act, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { expect, it } from "vitest";
import { prefer } from "@/lib/preferences.ts";
import { showPage } from "@/test/page.tsx";
import { KeyboardHelp, useGlobalKeys } from "./keyboard.tsx";

function Page() {
  const [isOpen, setOpen] = useState(false);
  useGlobalKeys({ onPalette: () => undefined, onHelp: () => setOpen(true) });
  return (
    <>
      <input aria-label="Text" />
      <KeyboardHelp isOpen={isOpen} onClose={() => setOpen(false)} />
    </>
  );
}

it("? lists the keys of the pages that one may see, and nothing while one writes", async () => {
  const user = userEvent.setup();
  showPage({ path: "/", search: undefined, page: Page, permissions: ["stats:read"] });
  await user.type(await screen.findByRole("textbox"), "{Shift>}?{/Shift}");
  expect(screen.queryByRole("dialog")).toBeNull();
  await user.click(document.body);
  await user.keyboard("{Shift>}?{/Shift}");
  const help = within(await screen.findByRole("dialog", { name: "Keyboard shortcuts" }));
  expect(help.getByText("Overview")).toBeTruthy();
  expect(help.getByText("Next and previous row")).toBeTruthy();
  expect(help.queryByText("Dead letters")).toBeNull();
  await user.click(help.getByRole("button", { name: "Close" }));
  expect(screen.queryByRole("dialog")).toBeNull();
});

const PERMISSIONS = ["stats:read", "transactions:read"];

it.each([
  ["gl", "/live"],
  ["gge", "/exceptions"],
  ["jge", "/exceptions"],
  ["gxe", "/"],
  ["ga", "/"],
  ["g{Control>}e{/Control}", "/"],
])("%s leads to %s", async (keys, path) => {
  const user = userEvent.setup();
  const page = showPage({ path: "/", search: undefined, page: Page, permissions: PERMISSIONS });
  await screen.findByRole("textbox");
  await user.keyboard(keys);
  await waitFor(() => expect(page.address()).toBe(path));
});

it("a letter leads to its page however long after g, but not once one clicked or left the window", async () => {
  const user = userEvent.setup();
  const page = showPage({ path: "/", search: undefined, page: Page, permissions: PERMISSIONS });
  await screen.findByRole("textbox");
  await user.keyboard("g");
  await user.click(document.body);
  await user.keyboard("e");
  await user.keyboard("g");
  window.dispatchEvent(new FocusEvent("blur"));
  await user.keyboard("e");
  expect(page.address()).toBe("/");
  await user.keyboard("g");
  const late = new KeyboardEvent("keydown", { key: "e", code: "KeyE" });
  Object.defineProperty(late, "timeStamp", { value: late.timeStamp + 3_600_000 });
  act(() => {
    document.dispatchEvent(late);
  });
  await waitFor(() => expect(page.address()).toBe("/exceptions"));
});

it("nothing happens behind an open dialog, nor where keys are turned off", async () => {
  const user = userEvent.setup();
  const page = showPage({ path: "/", search: undefined, page: Page, permissions: PERMISSIONS });
  await screen.findByRole("textbox");
  await user.keyboard("{Shift>}?{/Shift}ge");
  expect(screen.getByRole("dialog")).toBeTruthy();
  expect(page.address()).toBe("/");
  await user.click(screen.getByRole("button", { name: "Close" }));
  act(() => prefer({ keys: "off" }));
  await user.keyboard("{Shift>}?{/Shift}ge");
  expect(screen.queryByRole("dialog")).toBeNull();
  expect(page.address()).toBe("/");
  act(() => prefer({ keys: "on" }));
  await user.keyboard("ge");
  expect(page.address()).toBe("/exceptions");
});
