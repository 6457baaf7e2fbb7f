/** Keys that work on every page, and the page that tells of all of them. */

import { useNavigate } from "@tanstack/react-router";
import { useHotkeys } from "react-hotkeys-hook";
import { Dialog, Kbd } from "@/components/ui.tsx";
import { useApp } from "./context.ts";
import { PAGES } from "./navigation.ts";

export function useGlobalKeys({ onPalette, onHelp }: { onPalette: () => void; onHelp: () => void }): void {
  const { me } = useApp();
  const navigate = useNavigate();
  const pages = PAGES.filter((page) => me.permissions.includes(page.needs));
  useHotkeys("mod+k", onPalette, { preventDefault: true, enableOnFormTags: true });
  useHotkeys("shift+?", onHelp, { useKey: true });
  useHotkeys(
    pages.map((page) => `g>${page.letter === "," ? "comma" : page.letter}`),
    (_, { keys }) => {
      const page = pages.find(({ letter }) => (letter === "," ? "comma" : letter) === keys?.at(-1));
      if (page) void navigate({ to: page.to });
    },
    { sequenceTimeoutMs: 1200 },
  );
}

const ELSEWHERE: [string, string][] = [
  ["j / k", "Next and previous row"],
  ["Enter", "Open the row"],
  ["x", "Choose the row"],
  ["/", "Go to the search of the list"],
  ["n", "Show what is new"],
  ["p", "Pause or go on (Live)"],
  ["Esc", "Close, or leave the field"],
];

export function KeyboardHelp({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  const { me } = useApp();
  const keys: [string, string][] = [
    ["Ctrl K", "Find a transaction, a page or a command"],
    ["?", "This list"],
    ...PAGES.filter((page) => me.permissions.includes(page.needs)).map((page): [string, string] => [`g ${page.letter}`, page.label]),
    ...ELSEWHERE,
  ];
  return (
    <Dialog title="Keyboard shortcuts" isOpen={isOpen} onClose={onClose}>
      <dl className="grid grid-cols-[auto_1fr] items-center gap-x-5 gap-y-2 text-sm">
        {keys.map(([key, what]) => (
          <div key={key} className="contents">
            <dt>
              <Kbd>{key}</Kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
