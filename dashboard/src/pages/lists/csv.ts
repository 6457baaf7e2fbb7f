/** Chosen rows as CSV, with the same care as the server's exports: no cell is a formula to a spreadsheet. Pure. */

const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;
const NUMBER = /^-\d+(\.\d+)?$/;

function cell(value: string): string {
  const safe = FORMULA.test(value) && !NUMBER.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function csv(head: readonly string[], rows: readonly (readonly (string | null | undefined)[])[]): string {
  return [head, ...rows].map((row) => row.map((value) => cell(value ?? "")).join(",")).join("\r\n") + "\r\n";
}
