import { cleanup, configure } from "@testing-library/react";
import { afterEach } from "vitest";

// a machine that does other work takes its time
configure({ asyncUtilTimeout: 10_000 });

// jsdom has no media queries
window.matchMedia = (query: string) =>
  ({ matches: false, media: query, addEventListener: () => undefined, removeEventListener: () => undefined }) as unknown as MediaQueryList;

// nor modal dialogs
HTMLDialogElement.prototype.showModal = function () {
  this.open = true;
};
HTMLDialogElement.prototype.close = function () {
  this.open = false;
  this.dispatchEvent(new Event("close"));
};

// nor a layout: everything is as high as a window, so that virtual lists have rows
Object.defineProperty(Element.prototype, "clientHeight", { value: 800 });
Object.defineProperty(Element.prototype, "clientWidth", { value: 1200 });
Element.prototype.scrollTo = () => undefined;
window.scrollTo = () => undefined;
Element.prototype.scrollIntoView = () => undefined;
const nothing = () => undefined;
window.ResizeObserver = class {
  observe = nothing;
  unobserve = nothing;
  disconnect = nothing;
};

afterEach(() => {
  cleanup();
  localStorage.clear();
});
