/** Instants as people read them. The server speaks UTC; the zone is always printed, so that nobody has to guess. */

export type Zone = "utc" | "local";

const PARTS: Intl.DateTimeFormatOptions = {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
}; // prettier-ignore
const UTC = new Intl.DateTimeFormat("en-GB", { ...PARTS, timeZone: "UTC" });
const LOCAL = new Intl.DateTimeFormat("en-GB", PARTS);

function parts(at: Date, zone: Zone): Record<string, string> {
  return Object.fromEntries((zone === "utc" ? UTC : LOCAL).formatToParts(at).map((part) => [part.type, part.value]));
}

/** "UTC", or the offset of the machine's zone at that instant: "+02:00". */
export function zoneName(at: Date, zone: Zone): string {
  if (zone === "utc") return "UTC";
  const minutes = -at.getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `${minutes < 0 ? "\u2212" : "+"}${String(hours).padStart(2, "0")}:${String(rest).padStart(2, "0")}`;
}

/** "2026-11-26 10:58:03 UTC"; with `milliseconds`, "2026-11-26 10:58:03.120 UTC". */
export function instant(iso: string, zone: Zone, milliseconds = false): string {
  return `${day(iso, zone)} ${clock(iso, zone, milliseconds)} ${zoneName(new Date(iso), zone)}`;
}

/** "2026-11-26". */
export function day(iso: string, zone: Zone): string {
  const { year, month, day: date } = parts(new Date(iso), zone);
  return `${year}-${month}-${date}`;
}

/** Calendar days from one instant to another, both in epoch milliseconds; 0 where one is none. */
export function daysBetween(from: number, to: number, zone: Zone): number {
  const [first, second] = [from, to].map((at) => (Math.abs(at) <= 8.64e15 ? Date.parse(day(new Date(at).toISOString(), zone)) : NaN)) as [number, number];
  return Math.round((second - first) / 86_400_000) || 0;
}

/** "10:58:03"; with `milliseconds`, "10:58:03.120". */
export function clock(iso: string, zone: Zone, milliseconds = false): string {
  const at = new Date(iso);
  const { hour, minute, second } = parts(at, zone);
  return `${hour}:${minute}:${second}${milliseconds ? `.${String(at.getUTCMilliseconds()).padStart(3, "0")}` : ""}`;
}

const STEPS: [number, string][] = [[86_400, "d"], [3_600, "h"], [60, "min"]]; // prettier-ignore

/** "12 s", "4 min", "3 h 5 min", "2 d 4 h". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const at = STEPS.findIndex(([size]) => whole >= size);
  const step = STEPS[at];
  if (!step) return `${whole} s`;
  const next = STEPS[at + 1];
  const rest = next ? Math.floor((whole % step[0]) / next[0]) : 0;
  return `${Math.floor(whole / step[0])} ${step[1]}${next && rest ? ` ${rest} ${next[1]}` : ""}`;
}

/** "28 ms", "1.4 s", "2 min". */
function milliseconds(number: number): string {
  if (number < 1000) return `${Math.round(number)} ms`;
  return number < 10_000 ? `${(number / 1000).toFixed(1)} s` : duration(number / 1000);
}

/** "after 28 ms, 95 % within 61 ms". */
export function latency({ p50, p95 }: { p50: number; p95: number }): string {
  return `after ${milliseconds(p50)}, 95\u202f% within ${milliseconds(p95)}`;
}

/** "12 s ago"; "in 3 min" for what is to come. */
export function ago(iso: string, now: number): string {
  const seconds = (now - Date.parse(iso)) / 1000;
  return seconds < -1 ? `in ${duration(-seconds)}` : `${duration(seconds)} ago`;
}
