/** When somebody last used the dashboard, in any tab of this browser: what renews itself must not pass for a person. */

import { store, stored } from "@/lib/preferences.ts";

const KEY = "recon.used";
/** Other tabs are told so often at most. */
const TELL_EVERY_MS = 5_000;

let last = 0;
let told = 0;

function touch(): void {
  last = Date.now();
  if (last - told < TELL_EVERY_MS) return;
  told = last;
  store(KEY, last);
}

/** Called once. Opening the page is use of it. */
export function startPresence(): void {
  for (const name of ["pointerdown", "keydown", "wheel"]) window.addEventListener(name, touch, { capture: true, passive: true });
  touch();
}

/** Epoch milliseconds. */
export function lastUse(): number {
  const elsewhere = Number(stored<unknown>(KEY, 0));
  // a clock that was set back must not keep a session for ever
  return Math.max(last, elsewhere <= Date.now() ? elsewhere : 0);
}
