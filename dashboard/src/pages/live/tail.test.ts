import { expect, it } from "vitest";
import { add, EMPTY, LINES_MAX, pause, resume, unseen, type Tail } from "./tail.ts";
import type { ResultItem } from "@/live/messages.ts";

const numbers = (from: number, length: number) => Array.from({ length }, (_, at) => from + at);
const start: Tail<number> = EMPTY;

it("the newest stand on top, and the oldest leave", () => {
  const tail = add(add(start, numbers(1, 3)), numbers(4, LINES_MAX));
  expect(tail.shown.slice(0, 2)).toEqual([LINES_MAX + 3, LINES_MAX + 2]);
  expect(tail.shown).toHaveLength(LINES_MAX);
});

it("nothing moves while it is paused, and what came is shown when it goes on", () => {
  const paused = add(pause(add(start, [1, 2])), [3, 4]);
  expect(paused.shown).toEqual([2, 1]);
  expect(paused.held).toEqual([4, 3]);
  const going = resume(paused);
  expect(going.shown).toEqual([4, 3, 2, 1]);
  expect(going.held).toEqual([]);
});

it("a long pause keeps a bounded number and says how many it did not", () => {
  const paused = add(pause(start), numbers(0, LINES_MAX + 7));
  expect(paused.held).toHaveLength(LINES_MAX);
  expect(paused.dropped).toBe(7);
  expect(resume(paused).shown).toHaveLength(LINES_MAX);
});

it("a record that a resumed socket tells again is shown once", () => {
  const item = (offset: string) => ({ partition: 1, offset }) as ResultItem;
  const tail = add(EMPTY as Tail<ResultItem>, [item("5"), item("6")]);
  expect(unseen(tail, [item("6"), item("7")])).toEqual([item("7")]);
});
