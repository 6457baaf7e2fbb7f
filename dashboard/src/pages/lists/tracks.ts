/** How wide the columns of a list are. Amounts are never cut: texts give way, then the list scrolls sideways. Pure. */

/** Left and right of what stands in a cell. */
const PADDING_REM = 1;

/** Less than half as wide as a digit. */
const NARROW = /[\s.]/g;

/**
 * A track of a CSS grid that is `width`, or as wide as the longest of `figures` where that is more. A digit is one `ch` wide,
 * and no other sign of an amount is wider than that.
 */
export function track(width: string, figures: readonly string[]): string {
  const longest = figures.reduce((most, figure) => Math.max(most, digits(figure)), 0);
  if (!longest) return width;
  const [, least = width, most = least] = /^minmax\((.+),(.+)\)$/.exec(width) ?? [];
  const whole = `max(${least}, ${longest}ch + ${PADDING_REM}rem)`;
  return most === least ? whole : `minmax(${whole},${most})`;
}

function digits(figure: string): number {
  return Math.ceil(figure.length - (figure.match(NARROW)?.length ?? 0) / 2);
}
