import { expect, it } from "vitest";
import { track } from "./tracks.ts";

it("is as wide as its longest amount, and no narrower than it was meant", () => {
  expect(track("minmax(6rem,0.6fr)", ["+1 234 567.89", "0.45"])).toBe("minmax(max(6rem, 12ch + 1rem),0.6fr)");
  expect(track("6rem", ["+1 234 567.89"])).toBe("max(6rem, 12ch + 1rem)");
  expect(track("6rem", ["1\u202f284\u202f500.00 → 1\u202f248\u202f500.00"])).toBe("max(6rem, 23ch + 1rem)");
  expect(track("6rem", [])).toBe("6rem");
});
