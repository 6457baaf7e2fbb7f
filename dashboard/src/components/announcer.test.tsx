import { act, render, screen, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { announce, Announcer } from "./announcer.tsx";
import { Modal } from "./ui.tsx";

const Page = ({ isOpen }: { isOpen: boolean }) => (
  <>
    <Announcer />
    <Modal aria-label="Letter" isOpen={isOpen} onClose={() => undefined}>
      words
    </Modal>
  </>
);

it("is heard inside an open dialog, and in the page once that is closed", () => {
  const { rerender } = render(<Page isOpen />);
  act(() => announce("It failed.", "bad"));
  expect(within(screen.getByRole("dialog")).getByText("It failed.")).toBeTruthy();
  expect(screen.getAllByText("It failed.")).toHaveLength(1);
  rerender(<Page isOpen={false} />);
  expect(screen.queryByRole("dialog")).toBeNull();
  expect(screen.getByText("It failed.")).toBeTruthy();
});
