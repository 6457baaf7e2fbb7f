import { expect, it } from "vitest";
import { chips } from "./filters.ts";

it("names no filter that does not hold: amounts are limited within a currency only", () => {
  expect(chips({ amount_min: "1000", text: "T1" }, "utc").map(({ text }) => text)).toEqual(["Text: T1"]);
  expect(chips({ amount_min: "1000", currency: "EUR" }, "utc").map(({ text }) => text)).toEqual(["Currency: EUR", "At least 1000"]);
});
