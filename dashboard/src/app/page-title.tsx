import { useRouterState } from "@tanstack/react-router";
import { useEffect, useRef } from "react";

/** An old heading may stand for a moment. */
const SETTLES_MS = 100;
/** A heading that comes with slower data is waited for so long. */
const WAITS_MS = 30_000;

/** Tells the tab and screen readers where one has come to, and moves the focus there, as a page load would. */
export function PageTitle() {
  const path = useRouterState({ select: (state) => state.resolvedLocation?.pathname });
  const isFirst = useRef(true);
  useEffect(() => {
    if (path === undefined) return undefined;
    const before = document.activeElement;
    const mayFocus = !isFirst.current;
    const arrive = () => {
      const heading = document.querySelector<HTMLElement>("[data-page-title]");
      document.title = `${heading?.textContent ?? "recon-stream"} · recon-stream`;
      if (!heading) return;
      observer.disconnect();
      // who has gone somewhere else meanwhile, into the search or a menu, stays there
      const isHere = document.activeElement === before || document.activeElement === document.body;
      if (mayFocus && isHere) heading.focus({ preventScroll: true });
    };
    const observer = new MutationObserver(arrive);
    const settled = setTimeout(() => {
      isFirst.current = false;
      observer.observe(document.body, { childList: true, subtree: true });
      arrive();
    }, SETTLES_MS);
    const given = setTimeout(() => observer.disconnect(), WAITS_MS);
    return () => {
      clearTimeout(settled);
      clearTimeout(given);
      observer.disconnect();
    };
  }, [path]);
  return null;
}
