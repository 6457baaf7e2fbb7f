/** The websocket: opens, subscribes, resumes where it was, and says how it is. It knows nothing of React. */

import type { Channel, Filter, Items, Position, ServerMessage, StatsMessage, StatusMessage } from "./messages.ts";

/** `off`: not begun. `reconnecting`: the connection broke, what comes meanwhile will follow. */
export type LinkState = "off" | "connecting" | "live" | "reconnecting";

export interface Listener<Name extends Channel> {
  filter: Filter;
  onItems: (items: Items[Name][]) => void;
  /** What was missed cannot be told: read the lists anew. */
  onReload: () => void;
}

interface Subscription {
  listener: Listener<Channel>;
  position: Position | undefined;
}

export interface SocketOptions {
  /** The address of a new socket, with its ticket. */
  address: () => Promise<string>;
  /** A fresh access token. */
  token: () => Promise<string | undefined>;
  /** The server closed it because the token ran out. */
  onExpired: () => void;
  open?: (address: string) => WebSocket;
}

const BACK_OFF_MS = [500, 1_000, 2_000, 4_000, 8_000];
/** The server says its status each second: so long without a word, and the connection is dead, whatever TCP believes. */
const SILENCE_MS = 10_000;
const WATCH_MS = 1_000;
/** Renewed so long before the socket ends. */
const RENEW_MS = 60_000;
const TOKEN_EXPIRED = 4401;

export class LiveSocket {
  state: LinkState = "off";
  status: StatusMessage | undefined;
  stats: StatsMessage | undefined;
  /** Epoch milliseconds of the last word of the server. */
  heardAt = 0;

  readonly #options: SocketOptions;
  readonly #subscriptions = new Map<Channel, Subscription>();
  readonly #observers = new Set<() => void>();
  /** Subscriptions that the server has not confirmed: until then, what comes is of an older filter. */
  readonly #unconfirmed = new Map<string, number>();
  #socket: WebSocket | undefined;
  #attempts = 0;
  #endsAt = Infinity;
  #isRenewing = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor(options: SocketOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.state !== "off") return;
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
    this.#subscribe(channel, subscription);
    return () => {
      if (this.#subscriptions.get(channel) !== subscription) return;
      this.#subscriptions.delete(channel);
      this.#say({ type: "unsubscribe", channel });
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
    if (this.state === "off") return;
    const socket = (this.#options.open ?? ((url) => new WebSocket(url)))(address);
    this.#socket = socket;
    this.heardAt = Date.now();
    socket.onmessage = (event) => this.#hear(event.data as string);
    socket.onclose = (event) => {
      if (this.#socket !== socket) return;
      this.#drop();
      if (event.code === TOKEN_EXPIRED) this.#options.onExpired();
      this.#again();
    };
  }

  #again(): void {
    if (this.state === "off") return;
    const wait = BACK_OFF_MS[Math.min(this.#attempts, BACK_OFF_MS.length - 1)] ?? 0;
    this.#attempts += 1;
    this.#become("reconnecting");
    // many pages lose the same server at the same time
    this.#retry = setTimeout(() => void this.#connect(), wait * (0.5 + Math.random()));
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#endsAt = Infinity;
    this.#isRenewing = false;
    socket?.close();
  }

  #check(): void {
    const now = Date.now();
    if (this.#socket && now - this.heardAt > SILENCE_MS) {
      this.#drop();
      this.#again();
    } else if (now > this.#endsAt - RENEW_MS && !this.#isRenewing) {
      this.#isRenewing = true;
      void this.#options.token().then((token) => token && this.#say({ type: "renew", token }));
    }
  }

  #hear(text: string): void {
    this.heardAt = Date.now();
    const message = JSON.parse(text) as ServerMessage;
    switch (message.type) {
      case "hello":
        this.#attempts = 0;
        this.#endsAt = Date.parse(message.expires_at);
        this.#unconfirmed.clear();
        this.#become("live");
        this.#say({ type: "subscribe", channel: "status" });
        this.#say({ type: "subscribe", channel: "stats" });
        for (const [channel, subscription] of this.#subscriptions) {
          this.#subscribe(channel, subscription);
        }
        break;
      case "renewed":
        this.#endsAt = Date.parse(message.expires_at);
        this.#isRenewing = false;
        break;
      case "subscribed": {
        this.#confirm(message.channel);
        const subscription = this.#subscriptions.get(message.channel as Channel);
        if (subscription && message.position) subscription.position = { ...message.position, ...subscription.position };
        break;
      }
      case "messages": {
        const subscription = this.#subscriptions.get(message.channel);
        if (!subscription || this.#unconfirmed.get(message.channel)) break;
        subscription.position = { ...subscription.position, ...message.position };
        if (message.items.length) subscription.listener.onItems(message.items);
        break;
      }
      case "reload": {
        const subscription = this.#subscriptions.get(message.channel);
        if (!subscription) break;
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
        if (message.channel) this.#confirm(message.channel);
        break;
      case "unsubscribed":
        break;
    }
  }

  #subscribe(channel: Channel, { listener, position }: Subscription): void {
    const isSaid = this.#say({ type: "subscribe", channel, filter: listener.filter, ...(position && { from: position }) });
    if (isSaid) this.#unconfirmed.set(channel, (this.#unconfirmed.get(channel) ?? 0) + 1);
  }

  #confirm(channel: string): void {
    this.#unconfirmed.set(channel, Math.max(0, (this.#unconfirmed.get(channel) ?? 0) - 1));
  }

  #say(message: object): boolean {
    // before `hello` nothing is said: it subscribes to all
    if (this.#socket?.readyState !== WebSocket.OPEN || this.state !== "live") return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #become(state: LinkState): void {
    this.state = state;
    this.#tell();
  }

  #tell(): void {
    this.#observers.forEach((observer) => observer());
  }
}
