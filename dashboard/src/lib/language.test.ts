import { expect, it } from "vitest";
import { mendLanguage } from "./language.ts";

const speaking = (language: string) => Object.create({ language }) as Navigator;

it("replaces a language that is none, so that charts come", () => {
  const browser = speaking("en-US@posix");
  expect(() => new Intl.NumberFormat(browser.language)).toThrow(RangeError);
  mendLanguage(browser);
  expect(new Intl.NumberFormat(browser.language).format(1)).toBe("1");
});

it("leaves a language that is one", () => {
  const browser = speaking("de-CH");
  mendLanguage(browser);
  expect(browser.language).toBe("de-CH");
});
