/** Keys that work on every page, and the page that tells of all of them. */

import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { useHotkeys, type Options } from "react-hotkeys-hook";
import { Dialog, Kbd } from "@/components/ui.tsx";
import { usePreferences } from "@/lib/preferences.ts";
import { useApp } from "./context.ts";
import { PAGES } from "./navigation.ts";

/** A key that does something from anywhere on the page: not while one writes or a dialog is open, nor where keys are turned off. */
export function useShortcut(keys: string, act: (event: KeyboardEvent) => void, options: Options = {}): void {
  const { keys: isOn } = usePreferences();
  const isEnabled = isOn === "on" && options.enabled !== false;
  useHotkeys(keys, act, { ...options, enabled: isEnabled, ignoreEventWhen: () => document.querySelector("dialog[open]") !== null });
}

export function useGlobalKeys({ onPalette, onHelp }: { onPalette: () => void; onHelp: () => void }): void {
  const { me } = useApp();
  const navigate = useNavigate();
  const isAfterG = useRef(false);
  useHotkeys("mod+k", onPalette, { preventDefault: true, enableOnFormTags: true });
  useShortcut("shift+?", onHelp, { useKey: true });
  // by what the keys say, whatever the keyboard; the letter may take as long as one likes, unless one does something else meanwhile
  useShortcut("*", ({ key }) => {
    const page = isAfterG.current && PAGES.find(({ letter, needs }) => letter === key && me.permissions.includes(needs));
    isAfterG.current = key === "g";
    if (page) void navigate({ to: page.to });
  });
  useEffect(() => {
    const forget = () => void (isAfterG.current = false);
    const meanwhile = ["pointerdown", "blur"];
    for (const event of meanwhile) window.addEventListener(event, forget);
    return () => {
      for (const event of meanwhile) window.removeEventListener(event, forget);
    };
  }, []);
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
  return (
    <Dialog title="Keyboard shortcuts" isOpen={isOpen} onClose={onClose}>
      <Keys />
    </Dialog>
  );
}

/** All keys, with what they do. */
export function Keys() {
  const { me } = useApp();
  const keys: [string, string][] = [
    ["Ctrl K", "Find a transaction, a page or a command"],
    ["?", "This list"],
    ...PAGES.filter((page) => me.permissions.includes(page.needs)).map((page): [string, string] => [`g ${page.letter}`, page.label]),
    ...ELSEWHERE,
  ];
  return (
    <dl className="gap-x-8 text-sm sm:columns-2">
      {keys.map(([key, what]) => (
        <div key={key} className="flex break-inside-avoid items-baseline gap-4 py-1">
          <dt className="w-14 shrink-0">
            <Kbd>{key}</Kbd>
          </dt>
          <dd>{what}</dd>
        </div>
      ))}
    </dl>
  );
}
