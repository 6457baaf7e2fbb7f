/** What a person has set for this browser. Nothing secret: names of choices, kept in localStorage. */

import { useSyncExternalStore } from "react";
import type { Zone } from "./time.ts";

export interface Preferences {
  theme: "system" | "light" | "dark";
  zone: Zone;
  density: "comfortable" | "compact";
  /** Whether single letters do something; speech input presses them by chance. */
  keys: "on" | "off";
}

const KEY = "recon.preferences";
const USUAL: Preferences = { theme: "system", zone: "utc", density: "comfortable", keys: "on" };
const ALLOWED: { [name in keyof Preferences]: readonly Preferences[name][] } = {
  theme: ["system", "light", "dark"],
  zone: ["utc", "local"],
  density: ["comfortable", "compact"],
  keys: ["on", "off"],
};

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();
let current = read();

function read(): Preferences {
  const kept = stored<Partial<Preferences>>(KEY, {});
  const checked = Object.entries(ALLOWED).filter(([name, values]) => (values as readonly unknown[]).includes(kept[name as keyof Preferences]));
  return { ...USUAL, ...Object.fromEntries(checked.map(([name]) => [name, kept[name as keyof Preferences]])) };
}

/** What localStorage has under a key; `otherwise` where it has nothing, is forbidden or holds something broken. */
export function stored<Value>(key: string, otherwise: Value): Value {
  try {
    return (JSON.parse(localStorage.getItem(key) ?? "null") as Value | null) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keeps a value in localStorage; where that is full or forbidden, it lasts as long as the page. */
export function store(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // the choice holds until the page is closed
  }
}

/** The theme that is shown now. */
export function shownTheme(): "light" | "dark" {
  return current.theme === "system" ? (dark.matches ? "dark" : "light") : current.theme;
}

function apply(): void {
  document.documentElement.dataset.theme = shownTheme();
  listeners.forEach((listener) => listener());
}

export function prefer(change: Partial<Preferences>): void {
  current = { ...current, ...change };
  store(KEY, current);
  apply();
}

/** Called once, before the first paint. */
export function startPreferences(): void {
  dark.addEventListener("change", apply);
  // another tab has changed them
  window.addEventListener("storage", (event) => {
    if (event.key === KEY) {
      current = read();
      apply();
    }
  });
  apply();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function usePreferences(): Preferences {
  return useSyncExternalStore(subscribe, () => current);
}

export function useShownTheme(): "light" | "dark" {
  return useSyncExternalStore(subscribe, shownTheme);
}
