/** Files from the server: read as they come, so that long ones show their progress and can be cancelled. */

import { send } from "@/api/client.ts";
import type { Session } from "@/auth/keycloak.ts";

/** Saves what `path` answers as a file, under the name that the server gives it. */
export async function download(session: Session, path: string, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<void> {
  const answer = await send(session, new Request(new URL(path, location.origin), { signal }), { isLong: true });
  const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? "export";
  const parts: BlobPart[] = [];
  let bytes = 0;
  const reader = answer.body?.getReader();
  for (;;) {
    const part = await reader?.read();
    if (!part || part.done) break;
    parts.push(part.value);
    onBytes((bytes += part.value.length));
  }
  save(new Blob(parts, { type: answer.headers.get("Content-Type") ?? "" }), name);
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
