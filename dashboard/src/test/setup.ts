import { cleanup } from "@testing-library/react";
import { afterEach } from "vitest";

// jsdom has no media queries
window.matchMedia = ((query: string) => ({
  matches: false, media: query, onchange: null,
  addEventListener: () => undefined, removeEventListener: () => undefined, addListener: () => undefined, removeListener: () => undefined,
  dispatchEvent: () => false,
})); // prettier-ignore

afterEach(cleanup);
