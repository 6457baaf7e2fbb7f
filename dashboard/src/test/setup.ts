import { cleanup } from "@testing-library/react";
import { afterEach } from "vitest";

// jsdom has no media queries
window.matchMedia = (query: string) =>
  ({ matches: false, media: query, addEventListener: () => undefined, removeEventListener: () => undefined }) as unknown as MediaQueryList;

afterEach(cleanup);
