import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { ResultItem } from "./messages.ts";
import { LiveSocket } from "./socket.ts";

/** The far end of a socket, as the server of docs/live.md would behave; the browser tests have the real one. */
class FarEnd {
  static all: FarEnd[] = [];
  readyState: number = WebSocket.OPEN;
  said: Record<string, unknown>[] = [];
  onmessage: ((event: { data: string }) => void) | undefined;
  onclose: ((event: { code: number }) => void) | undefined;

  constructor() {
    FarEnd.all.push(this);
  }

  send(text: string): void {
    this.said.push(JSON.parse(text) as Record<string, unknown>);
  }

  close(): void {
    this.readyState = WebSocket.CLOSED;
  }

  tell(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  hello(seconds = 300): void {
    this.tell({ type: "hello", channels: ["results"], expires_at: new Date(Date.now() + seconds * 1000).toISOString() });
  }

  cut(code = 1006): void {
    this.readyState = WebSocket.CLOSED;
    this.onclose?.({ code });
  }

  subscriptions(): Record<string, unknown>[] {
    return this.said.filter((message) => message.type === "subscribe" && message.channel === "results");
  }
}

const item = (offset: string) => ({ partition: 0, offset }) as ResultItem;
function newest(): FarEnd {
  const end = FarEnd.all.at(-1);
  if (!end) throw new Error("nothing was opened");
  return end;
}

let socket: LiveSocket;
let onExpired: () => void;
let told: ResultItem[];
let reloads: number;

beforeEach(() => {
  vi.useFakeTimers();
  FarEnd.all = [];
  told = [];
  reloads = 0;
  onExpired = vi.fn();
  socket = new LiveSocket({
    address: () => Promise.resolve("ws://test"),
    token: () => Promise.resolve("fresh"),
    onExpired: () => onExpired(),
    open: () => new FarEnd() as unknown as WebSocket,
  });
});

afterEach(() => {
  socket.stop();
  vi.useRealTimers();
});

async function start(): Promise<FarEnd> {
  socket.start();
  await vi.advanceTimersByTimeAsync(0);
  return newest();
}

function follow(filter = {}): () => void {
  return socket.listen("results", { filter, onItems: (items) => void told.push(...items), onReload: () => (reloads += 1) });
}

it("subscribes what is wanted once the server has said hello", async () => {
  follow({ verdict: ["BROKEN"] });
  const end = await start();
  expect(end.said).toEqual([]);
  end.hello();
  expect(socket.state).toBe("live");
  expect(end.subscriptions()).toEqual([{ type: "subscribe", channel: "results", filter: { verdict: ["BROKEN"] } }]);
});

it("says from when on it is told, once", async () => {
  const onBegin = vi.fn();
  socket.listen("results", { filter: {}, onItems: () => undefined, onReload: () => undefined, onBegin });
  const end = await start();
  end.hello();
  expect(onBegin).not.toHaveBeenCalled();
  end.tell({ type: "subscribed", channel: "results", position: { "0": "10" } });
  expect(onBegin).toHaveBeenCalledOnce();
  end.cut();
  await vi.advanceTimersByTimeAsync(1_000);
  newest().hello();
  newest().tell({ type: "subscribed", channel: "results", position: { "0": "10" } });
  expect(onBegin).toHaveBeenCalledOnce();
});

it("goes on after a break where it was", async () => {
  follow();
  const end = await start();
  end.hello();
  end.tell({ type: "subscribed", channel: "results", position: { "0": "10", "1": "7" } });
  end.tell({ type: "messages", channel: "results", position: { "0": "12" }, items: [item("12")] });
  end.cut();
  expect(socket.state).toBe("reconnecting");
  await vi.advanceTimersByTimeAsync(1_000);
  newest().hello();
  expect(newest().subscriptions()[0]).toMatchObject({ from: { "0": "12", "1": "7" } });
});

it("leaves out what an older filter let through", async () => {
  const end = await start();
  end.hello();
  const stop = follow({ verdict: ["BROKEN"] });
  end.tell({ type: "subscribed", channel: "results", position: {} });
  stop();
  follow({ verdict: ["MATCHED"] });
  end.tell({ type: "messages", channel: "results", position: { "0": "1" }, items: [item("1")] });
  expect(told).toEqual([]);
  end.tell({ type: "subscribed", channel: "results", position: {} });
  end.tell({ type: "messages", channel: "results", position: { "0": "2" }, items: [item("2")] });
  expect(told).toEqual([item("2")]);
});

it("says that the lists must be read anew, and goes on from there", async () => {
  follow();
  const end = await start();
  end.hello();
  end.tell({ type: "subscribed", channel: "results", position: { "0": "1" } });
  end.tell({ type: "reload", channel: "results", reason: "gone", position: { "0": "90" } });
  expect(reloads).toBe(1);
  end.cut();
  await vi.advanceTimersByTimeAsync(1_000);
  newest().hello();
  expect(newest().subscriptions()[0]).toMatchObject({ from: { "0": "90" } });
});

const lost = (channel: string | null, code = "unavailable") => ({ type: "error", code, detail: "Try again.", channel });

it("subscribes a channel again that the server has dropped, where it was, and is not live meanwhile", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  follow({ verdict: ["BROKEN"] });
  const end = await start();
  end.hello();
  end.tell({ type: "subscribed", channel: "results", position: { "0": "10" } });
  for (const [failures, wait] of [500, 1_000, 2_000, 4_000, 8_000, 8_000].entries()) {
    end.tell(lost("results"));
    expect(socket.state).toBe("reconnecting");
    await vi.advanceTimersByTimeAsync(wait - 1);
    end.tell({ type: "status" });
    expect(end.subscriptions()).toHaveLength(failures + 1);
    await vi.advanceTimersByTimeAsync(1);
    expect(end.subscriptions().at(-1)).toMatchObject({ filter: { verdict: ["BROKEN"] }, from: { "0": "10" } });
    // what it missed may still be out of reach
    end.tell({ type: "subscribed", channel: "results", position: { "0": "10" } });
    expect(socket.state).toBe("reconnecting");
  }
  end.tell({ type: "messages", channel: "results", position: { "0": "11" }, items: [item("11")] });
  expect([socket.state, told]).toEqual(["live", [item("11")]]);
  await vi.advanceTimersByTimeAsync(9_000);
  expect(end.subscriptions()).toHaveLength(7);
  vi.restoreAllMocks();
});

it("is live again after a while on a channel that was lost and has nothing to tell", async () => {
  follow();
  const end = await start();
  end.hello();
  end.tell({ type: "subscribed", channel: "results", position: { "0": "10" } });
  end.tell(lost("results"));
  await vi.advanceTimersByTimeAsync(1_000);
  end.tell({ type: "subscribed", channel: "results", position: { "0": "10" } });
  await vi.advanceTimersByTimeAsync(9_000);
  end.tell({ type: "status" });
  expect(socket.state).toBe("reconnecting");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(socket.state).toBe("live");
});

it("subscribes again what was refused before it had begun, in whatever words", async () => {
  follow();
  const end = await start();
  end.hello();
  end.tell({ type: "subscribed", channel: "status", position: null });
  end.tell({ type: "subscribed", channel: "stats", position: null });
  end.tell(lost(null));
  expect(socket.state).toBe("reconnecting");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(end.subscriptions()).toHaveLength(2);
  end.tell({ type: "subscribed", channel: "results", position: { "0": "1" } });
  expect(socket.state).toBe("live");
  end.tell({ type: "messages", channel: "results", position: { "0": "2" }, items: [item("2")] });
  expect(told).toEqual([item("2")]);
});

it("does not ask again for what the roles do not allow", async () => {
  follow();
  const end = await start();
  end.hello();
  end.tell(lost("results", "forbidden"));
  expect(socket.state).toBe("live");
  await vi.advanceTimersByTimeAsync(9_000);
  expect(end.subscriptions()).toHaveLength(1);
});

it("renews itself again where that failed", async () => {
  const end = await start();
  end.hello(64);
  const renewals = () => end.said.filter((message) => message.type === "renew");
  for (const channel of ["status", "stats"]) end.tell({ type: "subscribed", channel, position: null });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(renewals()).toHaveLength(1);
  end.tell(lost(null));
  await vi.advanceTimersByTimeAsync(5_000);
  expect(renewals()).toHaveLength(1);
  end.tell({ type: "status" });
  await vi.advanceTimersByTimeAsync(7_000);
  expect(renewals()).toHaveLength(2);
});

it("takes silence for a dead connection", async () => {
  const end = await start();
  end.hello();
  await vi.advanceTimersByTimeAsync(9_000);
  end.tell({ type: "status", at: "", live: true, reason: null, behind: {}, sockets: 1 });
  await vi.advanceTimersByTimeAsync(9_000);
  expect(socket.state).toBe("live");
  await vi.advanceTimersByTimeAsync(3_000);
  expect(socket.state).toBe("reconnecting");
});

it("renews itself before its token ends, once", async () => {
  const end = await start();
  end.hello(70);
  await vi.advanceTimersByTimeAsync(8_000);
  expect(end.said.some((message) => message.type === "renew")).toBe(false);
  end.tell({ type: "status" });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(end.said.filter((message) => message.type === "renew")).toEqual([{ type: "renew", token: "fresh" }]);
});

it.each([4401, 4403])("says that the token or its session is over (%i), and tries again with another", async (code) => {
  const end = await start();
  end.hello();
  end.cut(code);
  expect(onExpired).toHaveBeenCalledOnce();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(FarEnd.all).toHaveLength(2);
});

it("waits longer after each failure, and is at rest once stopped", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  await start();
  for (const wait of [500, 1_000, 2_000, 4_000, 8_000, 8_000]) {
    const before = FarEnd.all.length;
    newest().cut();
    await vi.advanceTimersByTimeAsync(wait - 1);
    expect(FarEnd.all).toHaveLength(before);
    await vi.advanceTimersByTimeAsync(1);
    expect(FarEnd.all).toHaveLength(before + 1);
  }
  const attempts = FarEnd.all.length;
  newest().cut();
  socket.stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(FarEnd.all).toHaveLength(attempts);
  vi.restoreAllMocks();
});
