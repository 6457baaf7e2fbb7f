/** The session with Keycloak: authorization code with PKCE. Tokens live in memory alone and are gone with the page. */

import Keycloak from "keycloak-js";
import * as v from "valibot";

const Config = v.object({
  keycloak: v.object({ url: v.string(), realm: v.string(), client_id: v.string() }),
  version: v.string(),
});
export type Config = v.InferOutput<typeof Config>;

const BASE = import.meta.env.BASE_URL;
/** Where a person wanted to go; it waits in sessionStorage while they log in, because Keycloak allows one address only. */
const WANTED = "recon.wanted";
const REFRESH_BEFORE_SECONDS = 60;

/** keycloak-js throws what Keycloak said, which is no Error. */
function reasonOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  const { error_description: description, error: code } = (error ?? {}) as { error_description?: string; error?: string };
  return description ?? code ?? "Keycloak did not say why.";
}

/** Why somebody has to log in again. */
export type Ended = "expired" | "signed-out";

export class Session {
  readonly #keycloak: Keycloak;
  readonly #listeners = new Set<() => void>();
  #refreshing: Promise<boolean> | undefined;
  ended: Ended | undefined;
  /** So long, in milliseconds, Keycloak keeps a session that nobody uses. */
  readonly idleMs: number;

  private constructor(
    keycloak: Keycloak,
    readonly config: Config,
  ) {
    this.#keycloak = keycloak;
    const { exp, iat } = keycloak.refreshTokenParsed ?? {};
    this.idleMs = exp !== undefined && iat !== undefined ? (exp - iat) * 1000 : Infinity;
  }

  /** Reads the configuration and logs in. Where nobody is logged in, the browser leaves for Keycloak and this never returns. */
  static async start(): Promise<Session> {
    const answer = await fetch(`${BASE}config.json`, { cache: "no-store" });
    if (!answer.ok) throw new Error(`The server does not tell its configuration (${answer.status}).`);
    const config = v.parse(Config, await answer.json());
    const { url, realm, client_id: clientId } = config.keycloak;
    const keycloak = new Keycloak({ url, realm, clientId });
    const here = location.pathname + location.search;
    const isReturn = /[#&]state=/.test(location.hash);
    // after a log-out for want of use, Keycloak leads to the front page, and where somebody was is known still
    if (!isReturn && (location.pathname !== BASE || location.search || !sessionStorage.getItem(WANTED))) sessionStorage.setItem(WANTED, here);
    try {
      await keycloak.init({
        onLoad: "login-required",
        pkceMethod: "S256",
        // third-party cookies, on which the frame rests, are gone from browsers; refreshing tells the same
        checkLoginIframe: false,
        redirectUri: location.origin + BASE,
      });
    } catch (error) {
      throw new Error(`Logging in failed: ${reasonOf(error)}`, { cause: error });
    }
    // a refused refresh would leave the page at once, with what somebody was writing
    keycloak.loginRequired = false;
    const wanted = sessionStorage.getItem(WANTED);
    sessionStorage.removeItem(WANTED);
    if (isReturn && wanted?.startsWith(BASE)) history.replaceState(null, "", wanted);
    return new Session(keycloak, config);
  }

  /** Epoch milliseconds at which the session ends unless it is refreshed before; undefined where that is not known. */
  get endsAt(): number | undefined {
    const expires = this.#keycloak.refreshTokenParsed?.exp;
    // by this machine's clock, which may be wrong
    return expires === undefined ? undefined : (expires + (this.#keycloak.timeSkew ?? 0)) * 1000;
  }

  /** An access token that is good for a while, refreshed where needed. Undefined once the session has ended. */
  async token(): Promise<string | undefined> {
    if (this.ended) return undefined;
    await this.refresh(REFRESH_BEFORE_SECONDS);
    return this.#keycloak.token;
  }

  /** Refreshes where the access token has less than that left; one request for all who ask at the same time. */
  async refresh(secondsLeft: number): Promise<boolean> {
    this.#refreshing ??= this.#keycloak
      .updateToken(secondsLeft)
      .then((isNew) => {
        if (isNew) this.#tell();
        return true;
      })
      .catch(() => {
        // keycloak-js forgets the tokens where Keycloak refused them; where it was not reached, they stay
        if (!this.#keycloak.authenticated) this.end("expired");
        return false;
      })
      .finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  /** The server no longer takes the token, or the time is over. */
  end(why: Ended): void {
    if (this.ended) return;
    this.ended = why;
    this.#tell();
  }

  /** Logs in again and comes back to this very page. */
  async login(): Promise<void> {
    sessionStorage.setItem(WANTED, location.pathname + location.search);
    await this.#keycloak.login({ redirectUri: location.origin + BASE });
  }

  /** Nobody is there: ends the session at Keycloak, whose form then hides this page; whoever logs in comes back to it. */
  async leave(): Promise<void> {
    sessionStorage.setItem(WANTED, location.pathname + location.search);
    await this.logout();
  }

  async logout(): Promise<void> {
    this.ended = "signed-out";
    await this.#keycloak.logout({ redirectUri: location.origin + BASE });
  }

  /** Hears of new tokens and of the end. */
  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  #tell(): void {
    this.#listeners.forEach((listener) => listener());
  }
}
