import { Link, useParams } from "@tanstack/react-router";
import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useEffect, useState } from "react";
import { expect, it } from "vitest";
import { showPage } from "@/test/page.tsx";
import { PageTitle } from "./page-title.tsx";

function Slow() {
  const { txnId } = useParams({ strict: false });
  const [loaded, setLoaded] = useState<string>();
  useEffect(() => {
    const timer = setTimeout(() => setLoaded(txnId), 400);
    return () => clearTimeout(timer);
  }, [txnId]);
  return (
    <>
      <PageTitle />
      {loaded === txnId && (
        <h1 tabIndex={-1} data-page-title>
          {txnId}
        </h1>
      )}
      <Link to="/transactions/$txnId" params={{ txnId: "T2" }}>
        Next
      </Link>
      <input aria-label="Text" />
    </>
  );
}

const show = () => showPage({ path: "/transactions/$txnId", address: "/transactions/T1", search: undefined, page: Slow, permissions: [] });

it("has title and focus of a page whose heading comes late", async () => {
  const user = userEvent.setup();
  show();
  await waitFor(() => expect(document.title).toBe("T1 · recon-stream"));
  await user.click(screen.getByRole("link", { name: "Next" }));
  await waitFor(() => expect(document.title).toBe("T2 · recon-stream"));
  expect(document.activeElement).toBe(screen.getByRole("heading", { name: "T2" }));
});

it("leaves the focus to who has gone elsewhere meanwhile", async () => {
  const user = userEvent.setup();
  show();
  await waitFor(() => expect(document.title).toBe("T1 · recon-stream"));
  await user.click(screen.getByRole("link", { name: "Next" }));
  await user.click(screen.getByRole("textbox"));
  await waitFor(() => expect(document.title).toBe("T2 · recon-stream"));
  expect(document.activeElement).toBe(screen.getByRole("textbox"));
});
