/**
 * A browser on a machine without a locale names a language that is none ("en-US@posix"). Charts ask for its number format
 * while their library loads, and their page would not come. Call it before they do.
 */
export function mendLanguage(browser: Navigator = navigator): void {
  try {
    Intl.getCanonicalLocales(browser.language);
  } catch {
    // an own property hides the one of the prototype
    Object.defineProperty(browser, "language", { value: "en-GB", configurable: true });
  }
}
