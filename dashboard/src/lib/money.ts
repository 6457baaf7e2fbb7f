/** Amounts stay strings from the server to the screen: no JavaScript number ever holds one. */

export interface Amount {
  /** Minor units, a decimal integer. */
  minor: string;
  /** Major units; null where the currency is not known. */
  major: string | null;
  currency: string;
}

const THIN_SPACE = "\u202f";

/** "1347.02" -> "1 347.02", with thin spaces that no locale mistakes for a decimal point. A minus becomes a true minus sign. */
export function grouped(decimal: string): string {
  const [, sign = "", whole = "", fraction = ""] = /^(-?)(\d+)(\.\d+)?$/.exec(decimal) ?? [];
  if (!whole) return decimal;
  return `${sign && "\u2212"}${whole.replace(/\B(?=(\d{3})+$)/g, THIN_SPACE)}${fraction}`;
}

/** The number of an amount, without its currency: in major units, else in minor ones, which is said. */
export function figure(amount: Amount): string {
  return amount.major === null ? `${grouped(amount.minor)} minor units` : grouped(amount.major);
}

/** Minor units as major ones, with the digits that `like`, an amount of the same currency, has; grouped. */
export function majorOf(minor: string, like: Amount): string {
  const digits = like.major?.split(".")[1]?.length ?? 0;
  if (like.major === null || digits === 0) return grouped(minor);
  const [sign, rest] = minor.startsWith("-") ? ["-", minor.slice(1)] : ["", minor];
  const padded = rest.padStart(digits + 1, "0");
  return grouped(`${sign}${padded.slice(0, -digits)}.${padded.slice(-digits)}`);
}

/** Number and currency. */
export function written(amount: Amount): string {
  return `${figure(amount)} ${amount.currency}`;
}

/** The amounts in a sentence of the server, grouped: "Core says 1284500.00 EUR" -> "Core says 1 284 500.00 EUR". */
export function groupedIn(sentence: string): string {
  return sentence.replace(/(?<![\w.])\d{4,}(\.\d+)?(?= [A-Z]{3}\b)/g, grouped);
}

/** The number, with a plus where it is positive: for differences. */
export function signed(amount: Amount): string {
  return amount.minor.startsWith("-") || /^0+$/.test(amount.minor) ? figure(amount) : `+${figure(amount)}`;
}

/** 1234567 -> "1 234 567". For counts, which are numbers. */
export function count(value: number): string {
  return grouped(String(Math.round(value)));
}

/** For places that are too small for all digits: 1 234 567 -> "1.2 M"; the whole number belongs into a tooltip. */
export function short(value: number): string {
  if (value < 10_000) return count(value);
  const [divisor, unit] = value < 1_000_000 ? [1_000, "k"] : value < 1_000_000_000 ? [1_000_000, "M"] : [1_000_000_000, "G"];
  const scaled = value / divisor;
  return `${scaled < 100 ? scaled.toFixed(1) : scaled.toFixed(0)}${THIN_SPACE}${unit}`;
}

/** Shares are rounded down, so that 100 % is said only where it is all. */
export function share(part: number, whole: number): string {
  if (whole === 0) return "\u2013";
  const hundredths = Math.floor((part * 10_000) / whole);
  return `${(hundredths / 100).toFixed(2)}${THIN_SPACE}%`;
}

/** The share of a sum of minor units, counted in integers. */
export function shareOf(part: bigint, whole: bigint): string {
  if (whole === 0n) return "\u2013";
  const hundredths = Number((part * 10_000n) / whole);
  return `${(hundredths / 100).toFixed(2)}${THIN_SPACE}%`;
}
