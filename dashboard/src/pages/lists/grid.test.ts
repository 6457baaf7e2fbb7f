import { expect, it } from "vitest";
import { withActive } from "./grid.tsx";

it("keeps the row that has the keyboard, wherever the list is scrolled to", () => {
  expect(withActive([5, 6, 7], 2, 10)).toEqual([2, 5, 6, 7]);
  expect(withActive([5, 6, 7], 9, 10)).toEqual([5, 6, 7, 9]);
  expect(withActive([5, 6, 7], 6, 10)).toEqual([5, 6, 7]);
  expect(withActive([], 0, 0)).toEqual([]);
});
