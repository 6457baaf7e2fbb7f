/** The websocket: opens, subscribes, resumes where it was, and says how it is. It knows nothing of React. */

import type { Channel, Filter, Items, Position, ServerMessage, StatsMessage, StatusMessage } from "./messages.ts";

/** `off`: not begun. `reconnecting`: the connection broke, or the server dropped a channel; what comes meanwhile will follow. */
export type LinkState = "off" | "connecting" | "live" | "reconnecting";

export interface Listener<Name extends Channel> {
  filter: Filter;
  onItems: (items: Items[Name][]) => void;
  /** What was missed cannot be told: read the lists anew. */
  onReload: () => void;
  /** It is told from now on for the first time: what was read before may lack what came until now. */
  onBegin?: () => void;
}

interface Subscription {
  listener: Listener<Channel>;
  position: Position | undefined;
}

/** What was said that the server answers; it does so in order. */
type Awaited = { type: "subscribe"; channel: string } | { type: "unsubscribe" } | { type: "renew" };

/** A channel that the server refused or dropped. */
interface Loss {
  /** In a row, without a word of the channel between. */
  failures: number;
  retry: ReturnType<typeof setTimeout>;
}

export interface SocketOptions {
  /** The address of a new socket, with its ticket. */
  address: () => Promise<string>;
  /** A fresh access token. */
  token: () => Promise<string | undefined>;
  /** The server closed it because the token ran out, or the session that it is of is over. */
  onExpired: () => void;
  open?: (address: string) => WebSocket;
}

const BACK_OFF_MS = [500, 1_000, 2_000, 4_000, 8_000];
/** The server says its status each second: so long without a word, and the connection is dead, whatever TCP believes. */
const SILENCE_MS = 10_000;
const WATCH_MS = 1_000;
/** Renewed so long before the socket ends. */
const RENEW_MS = 60_000;
/** So long after a renewal that failed. */
const RENEW_AGAIN_MS = 10_000;
const TOKEN_EXPIRED = 4401;
const SESSION_ENDED = 4403;

/** Many pages lose the same server at the same time. */
function backOff(failures: number): number {
  return (BACK_OFF_MS[Math.min(failures, BACK_OFF_MS.length - 1)] ?? 0) * (0.5 + Math.random());
}

export class LiveSocket {
  status: StatusMessage | undefined;
  stats: StatsMessage | undefined;
  /** Epoch milliseconds of the last word of the server. */
  heardAt = 0;

  readonly #options: SocketOptions;
  readonly #subscriptions = new Map<Channel, Subscription>();
  readonly #observers = new Set<() => void>();
  readonly #losses = new Map<string, Loss>();
  #awaited: Awaited[] = [];
  #connection: LinkState = "off";
  #socket: WebSocket | undefined;
  #attempts = 0;
  /** Epoch milliseconds. */
  #renewAt = Infinity;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor(options: SocketOptions) {
    this.#options = options;
  }

  /** Live only where every channel that is followed is told. */
  get state(): LinkState {
    return this.#connection === "live" && this.#losses.size ? "reconnecting" : this.#connection;
  }

  start(): void {
    if (this.#connection !== "off") return;
    this.#watch = setInterval(() => this.#check(), WATCH_MS);
    void this.#connect();
  }

  stop(): void {
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    this.#drop();
    this.#become("off");
  }

  /** Begins to tell a channel; one listener each, the newest. Returns how to end it. */
  listen<Name extends Channel>(channel: Name, listener: Listener<Name>): () => void {
    const subscription: Subscription = { listener: listener as unknown as Listener<Channel>, position: undefined };
    this.#subscriptions.set(channel, subscription);
    this.#forget(channel);
    this.#subscribe(channel);
    return () => {
      if (this.#subscriptions.get(channel) !== subscription) return;
      this.#subscriptions.delete(channel);
      this.#forget(channel);
      if (this.#say({ type: "unsubscribe", channel })) this.#awaited.push({ type: "unsubscribe" });
    };
  }

  /** Hears of changes of state, status and stats. */
  observe = (observer: () => void): (() => void) => {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  };

  async #connect(): Promise<void> {
    this.#become(this.#attempts === 0 ? "connecting" : "reconnecting");
    let address: string;
    try {
      address = await this.#options.address();
    } catch {
      this.#again();
      return;
    }
    if (this.#connection === "off") return;
    const socket = (this.#options.open ?? ((url) => new WebSocket(url)))(address);
    this.#socket = socket;
    this.heardAt = Date.now();
    socket.onmessage = (event) => this.#hear(event.data as string);
    socket.onclose = (event) => {
      if (this.#socket !== socket) return;
      this.#drop();
      if (event.code === TOKEN_EXPIRED || event.code === SESSION_ENDED) this.#options.onExpired();
      this.#again();
    };
  }

  #again(): void {
    if (this.#connection === "off") return;
    this.#become("reconnecting");
    this.#retry = setTimeout(() => void this.#connect(), backOff(this.#attempts));
    this.#attempts += 1;
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#renewAt = Infinity;
    this.#awaited = [];
    for (const channel of [...this.#losses.keys()]) this.#forget(channel);
    socket?.close();
  }

  #check(): void {
    const now = Date.now();
    if (this.#socket && now - this.heardAt > SILENCE_MS) {
      this.#drop();
      this.#again();
    } else if (now > this.#renewAt) {
      this.#renewAt = Infinity;
      void this.#options.token().then((token) => {
        if (token && this.#say({ type: "renew", token })) this.#awaited.push({ type: "renew" });
      });
    }
  }

  #hear(text: string): void {
    this.heardAt = Date.now();
    const message = JSON.parse(text) as ServerMessage;
    switch (message.type) {
      case "hello":
        this.#attempts = 0;
        this.#renewAt = Date.parse(message.expires_at) - RENEW_MS;
        this.#become("live");
        for (const channel of ["status", "stats", ...this.#subscriptions.keys()]) this.#subscribe(channel);
        break;
      case "renewed":
        this.#answered(({ type }) => type === "renew");
        this.#renewAt = Date.parse(message.expires_at) - RENEW_MS;
        break;
      case "unsubscribed":
        this.#answered(({ type }) => type === "unsubscribe");
        break;
      case "subscribed": {
        this.#answered((each) => each.type === "subscribe" && each.channel === message.channel);
        const subscription = this.#subscriptions.get(message.channel as Channel);
        // one that resumes may still fail: it is well with the first word that follows, or after a while where nothing is to be told
        const isResumed = subscription?.position !== undefined;
        const loss = this.#losses.get(message.channel);
        if (!isResumed) this.#forget(message.channel);
        else if (loss) loss.retry = setTimeout(() => this.#forget(message.channel), SILENCE_MS);
        if (!subscription || !message.position) break;
        subscription.position = { ...message.position, ...subscription.position };
        if (!isResumed && !this.#awaits(message.channel)) subscription.listener.onBegin?.();
        break;
      }
      case "messages": {
        const subscription = this.#subscriptions.get(message.channel);
        // until the server has confirmed it, what comes is of an older filter
        if (!subscription || this.#awaits(message.channel)) break;
        this.#forget(message.channel);
        subscription.position = { ...subscription.position, ...message.position };
        if (message.items.length) subscription.listener.onItems(message.items);
        break;
      }
      case "reload": {
        const subscription = this.#subscriptions.get(message.channel);
        if (!subscription) break;
        this.#forget(message.channel);
        subscription.position = message.position;
        subscription.listener.onReload();
        break;
      }
      case "status":
        this.status = message;
        this.#tell();
        break;
      case "stats":
        this.stats = message;
        this.#tell();
        break;
      case "error":
        this.#refused(message.code, message.channel);
        break;
    }
  }

  /** Nothing of a channel comes behind an error about it: it is subscribed again where it was, unless the roles do not allow it. */
  #refused(code: string, about: string | null): void {
    const [first] = this.#awaited;
    const isOfFirst = about === null || (first?.type === "subscribe" && first.channel === about);
    if (isOfFirst) this.#awaited.shift();
    if (about === null && first?.type === "renew") this.#renewAt = Date.now() + RENEW_AGAIN_MS;
    const channel = about ?? (first?.type === "subscribe" ? first.channel : undefined);
    if (channel === undefined || this.#awaits(channel)) return;
    if (code === "forbidden") {
      this.#forget(channel);
      return;
    }
    const { failures = 0, retry } = this.#losses.get(channel) ?? {};
    clearTimeout(retry);
    this.#losses.set(channel, { failures: failures + 1, retry: setTimeout(() => this.#subscribe(channel), backOff(failures)) });
    this.#tell();
  }

  /** The server has answered what `isIt`, and all that was said before. */
  #answered(isIt: (each: Awaited) => boolean): void {
    this.#awaited.splice(0, this.#awaited.findIndex(isIt) + 1);
  }

  #awaits(channel: string): boolean {
    return this.#awaited.some((each) => each.type === "subscribe" && each.channel === channel);
  }

  /** That a channel was lost. */
  #forget(channel: string): void {
    clearTimeout(this.#losses.get(channel)?.retry);
    if (this.#losses.delete(channel)) this.#tell();
  }

  #subscribe(channel: string): void {
    const { listener, position } = this.#subscriptions.get(channel as Channel) ?? {};
    const isSaid = this.#say({ type: "subscribe", channel, ...(listener && { filter: listener.filter }), ...(position && { from: position }) });
    if (isSaid) this.#awaited.push({ type: "subscribe", channel });
  }

  #say(message: object): boolean {
    // before `hello` nothing is said: it subscribes to all
    if (this.#socket?.readyState !== WebSocket.OPEN || this.#connection !== "live") return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #become(state: LinkState): void {
    this.#connection = state;
    this.#tell();
  }

  #tell(): void {
    this.#observers.forEach((observer) => observer());
  }
}
