/** What a form holds when it is sent. */

/** Longer texts the API refuses; it counts bytes, and says so. */
export const TEXT_MAX = 500;

/** The trimmed text of a field; undefined where it is empty. */
export function said(form: FormData, name: string): string | undefined {
  const value = form.get(name);
  return typeof value === "string" && value.trim() ? value.trim() : undefined;
}

/** What a datetime-local field holds, taken for UTC, as RFC 3339. */
export function saidInstant(form: FormData, name: string): string | undefined {
  const local = said(form, name);
  return local && `${local.slice(0, 16)}:00.000Z`;
}
