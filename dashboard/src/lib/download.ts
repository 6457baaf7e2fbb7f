/** Files from the server: read as they come, so that long ones show their progress and can be cancelled. */

import { send } from "@/api/client.ts";
import type { Session } from "@/auth/keycloak.ts";

export interface Saved {
  rows: number;
  /** Whether there are more than the server gives out at once. */
  isCut: boolean;
}

const [QUOTE, LINE_END] = [34, 10];
/** The last line is shorter than that where it says that the file is cut: bytes. */
const TAIL_MAX = 1_000;

/** Counts the lines of CSV or NDJSON as they come; a line end within quotes ends none in CSV. */
export function lineCounter(isCsv: boolean): { add: (part: Uint8Array) => void; count: () => number } {
  let lines = 0;
  let isQuoted = false;
  return {
    add(part) {
      for (const byte of part) {
        if (byte === QUOTE && isCsv) isQuoted = !isQuoted;
        else if (byte === LINE_END && !isQuoted) lines += 1;
      }
    },
    count: () => lines,
  };
}

/** Whether the end of an export says that there is more, as the server writes it. */
export function saysCut(end: string): boolean {
  const last = end.trimEnd().split("\n").at(-1) ?? "";
  return /^"?CUT: there are more than \d+ rows/.test(last) || last.startsWith('{"cut":true,');
}

/** Saves what `path` answers as a file, under the name that the server gives it. */
export async function download(session: Session, path: string, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<Saved> {
  const answer = await send(session, new Request(new URL(path, location.origin), { signal }), { isLong: true });
  const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? "export";
  const type = answer.headers.get("Content-Type") ?? "";
  const isCsv = type.startsWith("text/csv");
  const lines = lineCounter(isCsv);
  const parts: BlobPart[] = [];
  let end = new Uint8Array();
  let bytes = 0;
  const reader = answer.body?.getReader();
  for (;;) {
    const part = await reader?.read();
    if (!part || part.done) break;
    parts.push(part.value);
    lines.add(part.value);
    end = new Uint8Array([...end, ...part.value.slice(-TAIL_MAX)].slice(-TAIL_MAX));
    onBytes((bytes += part.value.length));
  }
  save(new Blob(parts, { type }), name);
  const isCut = saysCut(new TextDecoder().decode(end));
  return { rows: lines.count() - Number(isCsv) - Number(isCut), isCut };
}

/** Hands a file that was made here to the browser. */
export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // the browser has taken it by then
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
