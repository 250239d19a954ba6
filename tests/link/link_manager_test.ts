import assert from "node:assert/strict";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import type { Address, Connection, Listener, Network } from "../../src/domain/ports.ts";
import type { Link } from "../../src/link/link.ts";
import { LinkManager, type LinkPeer } from "../../src/link/link_manager.ts";
import { helloFields } from "../../src/wire/hello.ts";
import { frame, operation } from "../helpers/plain_client.ts";
import { connectionPair, FarEnd, helloOf, ManualClock, MemoryConnection, turns } from "../receive/support.ts";

const ANNA = "a".repeat(64);
const BERT = "b".repeat(64);

/** Everybody's network: who listens where, and what is refused. */
class Hub {
  readonly listeners = new Map<string, (dialler: string) => MemoryConnection>();
  readonly connections: MemoryConnection[] = [];

  /** The network as the one with `fingerprint` sees it. */
  of(fingerprint: string): Network & { dials: number[] } {
    const dials: number[] = [];
    return {
      dials,
      listen: () => Promise.reject<Listener>(new Error("not here")),
      dial: (address: Address): Promise<Connection> => {
        dials.push(dials.length);
        const answer = this.listeners.get(address.host);
        if (answer === undefined) return Promise.reject(new MirrorError("unreachable", "nobody is there"));
        return Promise.resolve(answer(fingerprint));
      },
    };
  }

  /** Lets `host` be answered by `take`. */
  listen(host: string, fingerprint: string, take: (connection: Connection) => void): void {
    this.listeners.set(host, (dialler) => {
      const [near, far] = connectionPair(dialler, fingerprint);
      this.connections.push(near, far);
      queueMicrotask(() => take(far));
      return near;
    });
  }
}

/** One side: a manager, and what it has said. */
class Side {
  readonly ups: Link[] = [];
  readonly downs: { readonly link: Link; readonly code: string }[] = [];
  readonly failures: { readonly code: string; readonly delayMs: number }[] = [];
  readonly frames: unknown[] = [];
  readonly network: Network & { dials: number[] };
  readonly manager: LinkManager;
  peers: LinkPeer[];

  constructor(
    readonly fingerprint: string,
    readonly clock: ManualClock,
    hub: Hub,
    peers: LinkPeer[],
    process: string = crypto.randomUUID(),
  ) {
    this.peers = peers;
    this.network = hub.of(fingerprint);
    this.manager = new LinkManager({
      network: this.network,
      clock,
      random: { uuid: () => crypto.randomUUID(), unit: () => 0.5 },
      fingerprint: () => fingerprint,
      hello: helloOf(fingerprint.slice(0, 1), { process }),
      peers: () => this.peers,
      dial: null,
      onFrame: (link, header) => {
        this.frames.push(header["action"]);
        link.reply({ status: "ok", id: header["id"] });
        return Promise.resolve();
      },
      onUp: (link) => this.ups.push(link),
      release: (link, reason) => {
        this.downs.push({ link, code: reason.code });
        return Promise.resolve();
      },
      answered: () => Promise.resolve(),
      onDialFailure: (_peer, error, nextMs) =>
        this.failures.push({ code: error.code, delayMs: nextMs - clock.now() }),
    });
  }

  get link(): Link | null {
    return this.manager.linkTo(1);
  }

  get live(): Link[] {
    return [...this.manager.links()];
  }
}

function peer(fingerprint: string, address: string | null, ...otherAddresses: string[]): LinkPeer {
  return { number: 1, name: fingerprint.slice(0, 1), fingerprint, next: null, address, otherAddresses };
}

/** Two managers that can dial each other. */
function two(): { clock: ManualClock; hub: Hub; anna: Side; bert: Side; stop: () => Promise<void> } {
  const clock = new ManualClock();
  const hub = new Hub();
  const anna = new Side(ANNA, clock, hub, [peer(BERT, "bert:1")]);
  const bert = new Side(BERT, clock, hub, [peer(ANNA, "anna:1")]);
  hub.listen("anna", ANNA, (connection) => anna.manager.accept(connection));
  hub.listen("bert", BERT, (connection) => bert.manager.accept(connection));
  return {
    clock,
    hub,
    anna,
    bert,
    stop: async () => {
      await Promise.all([anna.manager.stop(), bert.manager.stop()]);
    },
  };
}

/** A request on a link is answered. */
async function serves(link: Link): Promise<void> {
  const reply = await link.request("small", { id: crypto.randomUUID(), ...{ action: "hi" } });
  assert.equal(reply.status, "ok");
}

Deno.test("links: when both dial at once, the one dialled by the smaller fingerprint stays, on both sides", async () => {
  const { clock, anna, bert, stop } = two();
  anna.manager.start();
  bert.manager.start();
  await clock.advance(10_000);
  for (const side of [anna, bert]) {
    assert.equal(side.live.length, 1, "exactly one link");
    assert.equal(side.link, side.live[0]);
    assert.notEqual(side.link?.hello, null);
    assert.equal(side.link?.connection.dialled, side === anna, "Anna has the smaller fingerprint");
    await serves(side.link!);
  }
  const ups = [anna.ups.length, bert.ups.length];
  await clock.advance(120_000);
  assert.deepEqual([anna.ups.length, bert.ups.length], ups, "and that is the end of it");
  assert.equal(anna.live.length, 1);
  await stop();
  assert.equal(anna.live.length + bert.live.length, 0);
});

Deno.test("links: a second one, dialled while the first stands, is told duplicate_link", async () => {
  const { clock, hub, anna, bert, stop } = two();
  bert.peers = [peer(ANNA, null)];
  anna.manager.start();
  bert.manager.start();
  await clock.advance(100);
  const first = anna.link;
  assert.notEqual(first, null);
  // Bert's process dials, too: the link that Anna dialled stays, as it is alive.
  const far = hub.listeners.get("anna")!(BERT);
  const end = new FarEnd(far);
  const hello = helloOf("b", { process: first!.hello!.process });
  const reply = end.request({ id: "1", action: "hello", ...helloFields(hello) });
  await clock.advance(100);
  assert.equal((await reply).header.code, "duplicate_link");
  assert.equal(anna.link, first);
  assert.equal(first!.isClosed, false);
  end.close();
  await stop();
});

Deno.test("links: a hello with a new process id replaces the old link at once", async () => {
  const { clock, hub, anna, bert, stop } = two();
  anna.peers = [peer(BERT, null)];
  anna.manager.start();
  bert.manager.start();
  await clock.advance(100);
  const old = anna.link!;
  for (const connection of hub.connections) connection.cutCable(); // the machine is off: nobody says goodbye
  const again = new Side(BERT, clock, hub, [peer(ANNA, "anna:1")]);
  again.manager.start();
  await turns();
  assert.equal(old.isClosed, true);
  assert.notEqual(anna.link, old);
  assert.equal(anna.live.length, 1);
  assert.equal(anna.downs[0]?.link, old, "what the old one brought is dropped");
  await serves(again.link!);
  await again.manager.stop();
  await stop();
});

Deno.test("links: an old link is released before the hello of the new one is answered", async () => {
  const { clock, hub, anna, bert, stop } = two();
  anna.peers = [peer(BERT, null)];
  anna.manager.start();
  bert.manager.start();
  await clock.advance(100);
  const order: string[] = [];
  const old = anna.link!;
  void old.closed.then(() => order.push("old closed"));
  const end = new FarEnd(hub.listeners.get("anna")!(BERT));
  await end.request({ id: "1", action: "hello", ...helloFields(helloOf("b")) });
  order.push("answered");
  assert.ok(anna.downs.some(({ link }) => link === old));
  assert.deepEqual(order, ["old closed", "answered"]);
  end.close();
  await stop();
});

Deno.test("links: what came with the answer on a link that does not stay takes no effect, and is not refused", async () => {
  const clock = new ManualClock();
  const hub = new Hub();
  // Both dial at once; Anna's link stays, as her fingerprint is the smaller one.
  const bert = new Side(BERT, clock, hub, [peer(ANNA, "anna:1")]);
  const dialled: { connection: Connection; hello: string }[] = [];
  hub.listen("anna", ANNA, (connection) => {
    new FarEnd(connection, ({ header }) => void dialled.push({ connection, hello: String(header.id) }));
  });
  hub.listen("bert", BERT, (connection) => bert.manager.accept(connection));
  bert.manager.start();
  await turns();
  const answer = { status: "ok", id: dialled[0]!.hello, ...helloFields(helloOf("a", { process: "Anna's" })) };
  const stays: FarEnd = new FarEnd(hub.listeners.get("bert")!(ANNA), ({ header }) => {
    if (header.action === "ping") void stays.send({ status: "ok", id: header.id! });
  });
  await stays.accepted({ id: "1", action: "hello", ...helloFields(helloOf("a", { process: "Anna's" })) });
  // Anna answers Bert's hello before she has the answer to her own, and sends at once: both arrive together.
  await dialled[0]!.connection.write(
    new Uint8Array([
      ...frame(answer),
      ...frame({ id: "2", action: "tree" }),
      ...frame({ action: "settled" }),
    ]),
  );
  await turns();
  assert.deepEqual(bert.frames, [], "nothing of it was read");
  assert.equal(bert.live.length, 1);
  assert.equal(bert.link?.connection.dialled, false, "the one that Anna dialled stays");
  await stays.accepted({ id: "3", action: "hi" });
  stays.close();
  await bert.manager.stop();
});

/** Anna dials somebody whose answers the test gives. */
function answering(
  answer: (end: FarEnd, header: Record<string, unknown>) => void,
): { clock: ManualClock; anna: Side; hub: Hub; ends: FarEnd[] } {
  const clock = new ManualClock();
  const hub = new Hub();
  const anna = new Side(ANNA, clock, hub, [peer(BERT, "bert:1")]);
  const ends: FarEnd[] = [];
  hub.listen("bert", BERT, (connection) => {
    const end: FarEnd = new FarEnd(connection, ({ header }) => answer(end, header));
    ends.push(end);
  });
  return { clock, anna, hub, ends };
}

Deno.test("links: a duplicate_link answer is not taken for a peer that speaks only the plain protocol", async () => {
  const { clock, anna } = answering((end, { id }) => {
    void end.send({ status: "error", id, code: "duplicate_link", message: "there is one" });
  });
  anna.manager.start();
  await clock.advance(60_000);
  assert.deepEqual(anna.ups, []);
  assert.equal(anna.link, null);
  assert.ok(anna.network.dials.length > 1, "it is tried again");
  await anna.manager.stop();
});

for (
  const [name, error] of [
    ["unknown_action", { code: "unknown_action", message: "I don't know hello" }],
    ["an error without id, code or message", {}],
  ] as const
) {
  Deno.test(`links: a hello answered by ${name} makes a plain link`, async () => {
    const { clock, anna } = answering((end, { id, action }) => {
      const about = name === "unknown_action" ? { id } : {};
      if (action === "hello") void end.send({ status: "error", ...about, ...error });
      else void end.send({ status: "ok" });
    });
    anna.manager.start();
    await clock.advance(100);
    assert.equal(anna.ups.length, 1);
    assert.equal(anna.link?.hello, null);
    assert.equal(anna.link?.has("pipelining"), false);
    await serves(anna.link!);
    await clock.advance(120_000);
    assert.equal(anna.link?.isClosed, false, "a plain link may be silent");
    await anna.manager.stop();
  });
}

Deno.test("links: a peer that does not answer the hello is given up after ten seconds", async () => {
  const { clock, anna, ends } = answering(() => {});
  anna.manager.start();
  await clock.advance(9_900);
  assert.equal(ends.length, 1);
  assert.equal(anna.failures.length, 0);
  await clock.advance(600);
  assert.equal(anna.failures.length, 1);
  assert.equal(anna.failures[0]?.code, "unreachable");
  await anna.manager.stop();
});

Deno.test("links: a dead link is found within 20 s on both sides, a living one stays", async () => {
  const { clock, hub, anna, bert, stop } = two();
  bert.peers = [peer(ANNA, null)];
  anna.manager.start();
  bert.manager.start();
  await clock.advance(300_000);
  const [ours, theirs] = [anna.link!, bert.link!];
  assert.equal(anna.ups.length, 1, "five quiet minutes do not end a link");
  hub.listeners.clear();
  for (const connection of hub.connections) connection.cutCable();
  await clock.advance(20_000);
  assert.equal(ours.isClosed, true, "Anna has noticed");
  assert.equal(theirs.isClosed, true, "Bert has noticed");
  assert.equal(anna.link, null);
  assert.equal((await ours.closed).code, "link_stalled");
  await stop();
});

Deno.test("links: a dead link with something to send is found within 20 s, too", async () => {
  const { clock, hub, anna, bert, stop } = two();
  bert.peers = [peer(ANNA, null)];
  anna.manager.start();
  bert.manager.start();
  await clock.advance(1_000);
  const link = anna.link!;
  hub.listeners.clear();
  for (const connection of hub.connections) connection.cutCable();
  // Writes still go into the system's buffer and look like progress.
  const sending = setTimeoutless(clock, 500, () => {
    if (!link.isClosed) link.notify("small", { action: "hi" }).catch(() => {});
  });
  await clock.advance(20_000);
  sending();
  assert.equal(link.isClosed, true);
  await stop();
});

/** Calls `work` every `ms` of the clock. */
function setTimeoutless(clock: ManualClock, ms: number, work: () => void): () => void {
  let cancel = () => {};
  const next = () => {
    cancel = clock.after(ms, () => {
      work();
      next();
    });
  };
  next();
  return () => cancel();
}

Deno.test("links: the pauses between attempts grow from a quarter of a second to thirty", async () => {
  const clock = new ManualClock();
  const anna = new Side(ANNA, clock, new Hub(), [peer(BERT, "bert:1")]);
  anna.manager.start();
  await clock.advance(400_000);
  const delays = anna.failures.map(({ delayMs }) => delayMs);
  assert.ok(delays[0]! <= 250, `the first pause is ${delays[0]} ms`);
  for (let i = 1; i < delays.length; i++) assert.ok(delays[i]! >= delays[i - 1]!, `${delays}`);
  assert.ok(delays.at(-1)! > 15_000 && delays.at(-1)! <= 30_000, `${delays}`);
  await anna.manager.stop();
});

/** Anna has failed to reach Bert for long. */
async function longAlone(): Promise<{ clock: ManualClock; hub: Hub; anna: Side }> {
  const clock = new ManualClock();
  const hub = new Hub();
  const anna = new Side(ANNA, clock, hub, [peer(BERT, "bert:1")]);
  hub.listen("anna", ANNA, (connection) => anna.manager.accept(connection));
  anna.manager.start();
  await clock.advance(400_000);
  assert.ok(anna.failures.at(-1)!.delayMs > 15_000);
  return { clock, hub, anna };
}

Deno.test("links: a peer is dialled at all its addresses in turn, first where it was last", async () => {
  const clock = new ManualClock();
  const hub = new Hub();
  const asked: string[] = [];
  const anna = new Side(ANNA, clock, hub, [peer(BERT, "gone:1", "lost:1", "bert:1")]);
  const { dial } = anna.network;
  anna.network.dial = (address, ...rest) => {
    asked.push(address.host);
    return dial(address, ...rest);
  };
  anna.manager.start();
  await clock.advance(0);
  assert.deepEqual(asked, ["gone", "lost", "bert"]);
  assert.equal(anna.failures.length, 1, "one attempt, one failure");
  const bert = new Side(BERT, clock, hub, [peer(ANNA, null)]);
  hub.listen("bert", BERT, (connection) => bert.manager.accept(connection));
  await clock.advance(1_000);
  await serves(anna.link!);
  asked.length = 0;
  anna.link!.close(new MirrorError("link_closed", "for the test"));
  await clock.advance(1_000);
  await serves(anna.link!);
  assert.deepEqual(asked, ["bert"]);
  await Promise.all([anna.manager.stop(), bert.manager.stop()]);
});

Deno.test("links: a plain client's dial-in lets the dialler try at once, with short pauses again", async () => {
  const { hub, anna } = await longAlone();
  const before = anna.network.dials.length;
  const end = new FarEnd(hub.listeners.get("anna")!(BERT));
  await end.accepted(operation("create", "a", "a"), "a");
  await turns();
  assert.equal(anna.network.dials.length, before + 1);
  assert.ok(anna.failures.at(-1)!.delayMs <= 250);
  end.close();
  await anna.manager.stop();
});

Deno.test("links: a peer's dial-in with a hello is the one link: nobody dials for a second one beside it", async () => {
  const { clock, hub, anna, bert, stop } = two();
  // Anna, whose own link would stay, waits long for her next attempt when Bert comes.
  const listener = hub.listeners.get("bert")!;
  hub.listeners.delete("bert");
  anna.manager.start();
  await clock.advance(300_000);
  const before = anna.network.dials.length;
  hub.listeners.set("bert", listener);
  bert.manager.start();
  await clock.advance(100);
  assert.equal(anna.network.dials.length, before);
  assert.deepEqual([anna.ups.length, bert.ups.length], [1, 1]);
  await clock.advance(120_000);
  assert.deepEqual([anna.ups.length, bert.ups.length], [1, 1]);
  assert.deepEqual([anna.downs, bert.downs], [[], []]);
  await serves(anna.link!);
  await stop();
});

Deno.test("links: after the peer's dial-in with a hello was lost again, the dialler tries within a second", async () => {
  const { clock, hub, anna } = await longAlone();
  await clock.advance(1_000);
  const end = new FarEnd(hub.listeners.get("anna")!(BERT));
  await end.accepted({ id: "1", action: "hello", ...helloFields(helloOf("b")) });
  await clock.advance(10);
  assert.notEqual(anna.link, null);
  const before = anna.network.dials.length;
  end.close();
  await clock.advance(1_000);
  assert.equal(anna.link, null);
  assert.ok(anna.network.dials.length > before, "the dial-in has shown that the peer is back");
  await anna.manager.stop();
});

Deno.test("links: a machine that wakes up from sleep tries at once", async () => {
  const { clock, anna } = await longAlone();
  const before = anna.network.dials.length;
  clock.sleep(3_600_000);
  await clock.advance(2_100);
  assert.ok(anna.network.dials.length > before);
  await anna.manager.stop();
});

Deno.test("links: removing a peer closes its links and stops dialling it", async () => {
  const { clock, anna, bert, stop } = two();
  anna.manager.start();
  bert.manager.start();
  await clock.advance(1_000);
  const link = anna.link!;
  anna.peers = [];
  anna.manager.refresh();
  await turns();
  assert.equal(link.isClosed, true);
  assert.equal((await link.closed).code, "not_trusted");
  assert.equal(anna.link, null);
  const dials = anna.network.dials.length;
  await clock.advance(120_000);
  assert.equal(anna.network.dials.length, dials);
  assert.equal(anna.live.length, 0, "Bert's own dial-in is not accepted any more");
  await stop();
});

Deno.test("links: a peer whose key was replaced loses the link of the old one", async () => {
  const { clock, anna, bert, stop } = two();
  anna.manager.start();
  bert.manager.start();
  await clock.advance(1_000);
  const link = anna.link!;
  anna.peers = [peer("c".repeat(64), null)];
  anna.manager.refresh();
  await turns();
  assert.equal(link.isClosed, true);
  await stop();
});

Deno.test("links: a hello that is not the first frame, or makes no sense, is refused and the link goes on", async () => {
  const clock = new ManualClock();
  const hub = new Hub();
  const anna = new Side(ANNA, clock, hub, [peer(BERT, null)]);
  hub.listen("anna", ANNA, (connection) => anna.manager.accept(connection));
  anna.manager.start();
  const plain = new FarEnd(hub.listeners.get("anna")!(BERT));
  await plain.accepted(operation("create", "a", "a"), "a");
  const late = await plain.refused({ id: "2", action: "hello", ...helloFields(helloOf("b")) });
  assert.equal(late.code, "bad_hello");
  await plain.accepted(operation("create", "b", "b"), "b");
  const pinged = new FarEnd(hub.listeners.get("anna")!(BERT));
  await pinged.accepted({ id: "1", action: "ping" });
  const afterPing = await pinged.refused({ id: "2", action: "hello", ...helloFields(helloOf("b")) });
  assert.equal(afterPing.code, "bad_hello");
  const broken = new FarEnd(hub.listeners.get("anna")!(BERT));
  assert.equal((await broken.refused({ id: "1", action: "hello", version: "one" })).code, "bad_hello");
  await broken.accepted(operation("create", "c", "c"), "c");
  assert.deepEqual(anna.ups, []);
  for (const end of [plain, pinged, broken]) end.close();
  await anna.manager.stop();
});

Deno.test("links: a stranger's connection is closed without a word", async () => {
  const clock = new ManualClock();
  const hub = new Hub();
  const anna = new Side(ANNA, clock, hub, [peer(BERT, null)]);
  hub.listen("anna", ANNA, (connection) => anna.manager.accept(connection));
  anna.manager.start();
  const end = new FarEnd(hub.listeners.get("anna")!("e".repeat(64)));
  await turns();
  assert.equal(end.ended, true);
  assert.equal(anna.live.length, 0);
  await anna.manager.stop();
});

Deno.test("links: connections on which a peer says nothing are bounded, and keep its real link not out", async () => {
  const hub = new Hub();
  const anna = new Side(ANNA, new ManualClock(), hub, [
    peer(BERT, null),
    { ...peer("c".repeat(64), null), number: 2, name: "c" },
  ]);
  hub.listen("anna", ANNA, (connection) => anna.manager.accept(connection));
  const other = new FarEnd(hub.listeners.get("anna")!("c".repeat(64)));
  const silent = Array.from({ length: 100 }, () => new FarEnd(hub.listeners.get("anna")!(BERT)));
  await turns();
  assert.equal(anna.live.length, 16 + 1, "16 of this peer, and the other's");
  assert.deepEqual(silent.map(({ ended }) => ended), silent.map((_, i) => i < 84), "the oldest make room");
  assert.ok(anna.downs.every(({ code }) => code === "not_accepting"));
  const real = new FarEnd(hub.listeners.get("anna")!(BERT));
  await real.accepted({ id: "1", action: "hello", ...helloFields(helloOf("b")) });
  await turns();
  assert.equal(anna.link?.isClosed, false);
  assert.equal(other.ended, false, "another peer's are its own affair");
  await anna.manager.stop();
});

Deno.test("links: a peer holds so many links without a hello at once, and one more is closed", async () => {
  const clock = new ManualClock();
  const hub = new Hub();
  const anna = new Side(ANNA, clock, hub, [peer(BERT, null)]);
  hub.listen("anna", ANNA, (connection) => anna.manager.accept(connection));
  anna.manager.start();
  const open = () => new FarEnd(hub.listeners.get("anna")!(BERT));
  const held: FarEnd[] = [];
  for (let i = 0; i < 16; i++) {
    held.push(open());
    await held[i]!.accepted(operation("create", `${i}`, "x"), "x");
  }
  const tooMuch = open();
  await tooMuch.send(operation("create", "too much", "x"), "x");
  await turns();
  assert.equal(tooMuch.ended, true);
  await held[0]!.accepted(operation("create", "still served", "x"), "x");
  held.pop()!.close();
  await turns();
  await open().accepted(operation("create", "in its place", "x"), "x");
  await anna.manager.stop();
});
