/** Short messages: shown for a while in the corner, and said once, calmly, by screen readers. */

import { X } from "lucide-react";
import { useEffect, useId, useSyncExternalStore } from "react";
import type { Tone } from "@/lib/words.ts";

interface Message {
  id: number;
  text: string;
  tone: Tone;
}

const SHOWN_MS = 6_000;
const SHOWN_MAX = 4;

let messages: readonly Message[] = [];
let lastId = 0;
/** Where they are shown: of those that are there, the last; what lies behind an open dialog is neither seen nor heard. */
let places: readonly string[] = [];
const listeners = new Set<() => void>();

const tell = () => listeners.forEach((listener) => listener());

function become(next: readonly Message[]): void {
  messages = next;
  tell();
}

function dismiss(id: number): void {
  become(messages.filter((message) => message.id !== id));
}

/** Tells the person something that has happened. What is wrong stays until it is dismissed. */
export function announce(text: string, tone: Tone = "quiet"): void {
  const message = { id: (lastId += 1), text, tone };
  become([...messages, message].slice(-SHOWN_MAX));
  if (tone !== "bad") setTimeout(() => dismiss(message.id), SHOWN_MS);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const NONE: readonly Message[] = [];

/** In the page, and in each dialog as long as it is open. */
export function Announcer() {
  const id = useId();
  useEffect(() => {
    places = [...places, id];
    tell();
    return () => {
      places = places.filter((place) => place !== id);
      tell();
    };
  }, [id]);
  const shown = useSyncExternalStore(subscribe, () => (places.at(-1) === id ? messages : NONE));
  return (
    <div role="status" aria-live="polite" className="pointer-events-none fixed right-4 bottom-4 z-50 flex flex-col items-end gap-2">
      {shown.map((message) => (
        <div
          key={message.id}
          className={`pointer-events-auto flex max-w-96 items-center gap-3 rounded-lg border bg-raised py-2 pr-2 pl-4 text-sm shadow-lift ${message.tone === "bad" ? "border-bad/60 text-bad" : "border-line"}`}
        >
          {message.text}
          <button type="button" aria-label="Dismiss" className="rounded p-1 text-ink-3 hover:bg-hover hover:text-ink" onClick={() => dismiss(message.id)}>
            <X aria-hidden className="size-4" />
          </button>
        </div>
      ))}
    </div>
  );
}
