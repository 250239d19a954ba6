import assert from "node:assert/strict";
import type { Connection } from "../../src/domain/ports.ts";
import { createCertificate, parseCertificate } from "../../src/identity/certificate.ts";
import type { Identity } from "../../src/identity/identity.ts";
import { type Limits, limitsOf } from "../../src/link/limits.ts";
import { Link } from "../../src/link/link.ts";
import { TlsNetwork } from "../../src/link/tls_network.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { SystemRandom } from "../../src/system/system_random.ts";
import { helloFields, parseHello } from "../../src/wire/hello.ts";
import { eventually } from "../helpers/eventually.ts";
import { connectionPair, FarEnd, helloOf, ManualClock } from "../receive/support.ts";

const RATE = 500_000;
const BYTES = 1_500_000;
/** Beside the rate: what may be caught up, a slice, and what is on its way between the two ends. */
const BURST_BYTES = 0.1 * RATE;
const clock = new SystemClock();

async function identity(name: string): Promise<Identity> {
  const { certificatePem, keyPem } = await createCertificate(name, Date.now());
  const { fingerprint } = parseCertificate(certificatePem, { nowMs: Date.now() });
  return { name, fingerprint, certificatePem, keyPem };
}

/** Both ends of a TLS connection over a real socket. */
async function connected(
  limit: number | null,
): Promise<{ near: Connection; far: Connection; close(): void }> {
  const [anna, bert] = await Promise.all([identity("anna"), identity("bert")]);
  const network = new TlsNetwork({ identity: () => anna, trusted: () => [bert], clock, limit });
  const other = new TlsNetwork({ identity: () => bert, trusted: () => [anna], clock });
  const accepted = Promise.withResolvers<Connection>();
  const listener = await other.listen({ host: "127.0.0.1", port: 0 }, accepted.resolve);
  const near = await network.dial(listener.address, bert.fingerprint, AbortSignal.timeout(10_000));
  const far = await accepted.promise;
  return {
    near,
    far,
    close: () => {
      near.close();
      far.close();
      listener.close();
    },
  };
}

function link(connection: Connection, limits: Limits | null): Link {
  return new Link({
    connection,
    peer: { number: 1, name: "peer" },
    clock,
    random: new SystemRandom(),
    limits,
  });
}

/** Checks at every arrival that no more came than the rate allows; the time until all has come. */
class Meter {
  readonly #startMs = performance.now();
  bytes = 0;

  add(bytes: number): void {
    this.bytes += bytes;
    const allowed = RATE * this.seconds * 1.05 + BURST_BYTES;
    assert.ok(this.bytes <= allowed, `${this.bytes} bytes after ${this.seconds} s`);
  }

  get seconds(): number {
    return (performance.now() - this.#startMs) / 1000;
  }

  /** All was there in the end, and not much later than the rate allows. */
  assertDone(): void {
    assert.ok(this.bytes >= BYTES);
    assert.ok(this.bytes / this.seconds > RATE / 2, `${this.bytes} bytes took ${this.seconds} s`);
  }
}

Deno.test("a link sends at its limit over TLS; saves and replies overtake the pieces that wait", async () => {
  const { near, far, close } = await connected(null);
  const sender = link(near, limitsOf(RATE, clock));
  assert.equal(sender.pieceBytes, RATE / 10);
  const meter = new Meter();
  const came: unknown[] = [];
  const receiver = link(far, null);
  const served = receiver.serve(async (_, header, content) => {
    came.push(header["n"]);
    for (let part = await content.some(BYTES); part !== null; part = await content.some(BYTES)) {
      meter.add(part.length);
    }
  });
  const piece = new Uint8Array(sender.pieceBytes);
  const pieces = Array.from(
    { length: BYTES / piece.length },
    (_, n) => sender.notify("bulk", { action: "x", n }, piece),
  );
  await eventually("the first pieces are there", () => assert.ok(came.length >= 2));
  await sender.notify("small", { action: "x", n: "save" });
  sender.reply({ action: "x", n: "reply" });
  await Promise.all(pieces);
  await eventually("all is there", () => meter.assertDone(), { everyMs: 5 });
  const places = ["save", "reply"].map((n) => came.indexOf(n));
  assert.ok(places.every((at) => at >= 2 && at <= 10), `${came}`);
  close();
  await served;
});

Deno.test("a link receives at its limit over TLS, whatever the other side does; its replies go out meanwhile", async () => {
  const { near, far, close } = await connected(RATE);
  const receiver = link(near, limitsOf(RATE, clock));
  const meter = new Meter();
  let answered = 0;
  const served = receiver.serve(async (_, header, content) => {
    receiver.reply({ status: "ok", id: header["id"] });
    for (let part = await content.some(BYTES); part !== null; part = await content.some(BYTES)) {
      meter.add(part.length);
    }
  });
  const sender = link(far, null);
  const replies = sender.serve(async () => {});
  const piece = new Uint8Array(100_000);
  for (let n = 0; n < BYTES / piece.length; n++) {
    void sender.request("bulk", { id: `${n}`, ...{ action: "x" } }, piece).then(() => answered++);
  }
  await eventually("all is there", () => meter.assertDone(), { everyMs: 5 });
  await eventually("all is answered", () => assert.equal(answered, BYTES / piece.length));
  close();
  await Promise.all([served, replies]);
});

Deno.test("a peer that has said how much it takes is sent no more, a little less even", async () => {
  const { near, far, close } = await connected(null);
  const sender = link(near, null);
  const ours = helloOf("anna");
  const theirs = parseHello(
    JSON.parse(JSON.stringify(helloFields({ ...ours, receiveBytesPerSecond: RATE }))),
  );
  assert.equal(theirs.receiveBytesPerSecond, RATE);
  sender.becomeFull(theirs, ours);
  const meter = new Meter();
  const piece = new Uint8Array(sender.pieceBytes);
  assert.equal(piece.length, RATE * 0.98 / 10);
  const count = Math.ceil(BYTES / piece.length);
  const pieces = Array.from({ length: count }, () => sender.notify("bulk", { action: "x" }, piece));
  while (meter.bytes < BYTES) meter.add((await far.read())!.length);
  meter.assertDone();
  await Promise.all(pieces);
  close();
});

Deno.test("a hello may say how much its side takes; what is no rate is refused", () => {
  const fields = helloFields(helloOf("anna"));
  assert.equal("rate" in fields, false);
  for (const rate of [0, -1, "1MB/s", null, NaN]) {
    assert.throws(() => parseHello({ ...fields, rate } as never), { code: "bad_hello" }, String(rate));
  }
});

Deno.test("a frame that takes longer than keep-alive waits does not end the link; a peer that is gone does", async () => {
  for (const cut of [false, true]) {
    const clock = new ManualClock();
    const [near, far] = connectionPair("a".repeat(64), "b".repeat(64));
    const parts = { connection: near, peer: { number: 1, name: "bert" }, clock, random: new SystemRandom() };
    const slow = new Link({ ...parts, limits: limitsOf(5_000, clock) });
    slow.becomeFull(helloOf("bert"), helloOf("anna"));
    // It answers, and says nothing by itself.
    const end = new FarEnd(far, ({ header }) => {
      if (header.action === "ping") void end.send({ status: "ok", id: header.id });
    });
    const served = slow.serve(() => Promise.resolve());
    const sent = slow.notify("small", { action: "x" }, new Uint8Array(256 * 1024));
    sent.catch(() => {});
    await clock.advance(40_000);
    assert.equal(slow.isClosed, false, "52 s for one frame, and no answer to a ping behind it");
    if (cut) near.cutCable();
    await clock.advance(60_000);
    assert.equal(slow.isClosed, cut);
    if (!cut) {
      assert.ok(end.frames.some(({ header }) => header.action === "x"));
      await clock.advance(60_000);
      assert.equal(slow.isClosed, false);
      far.close();
    } else assert.equal((await slow.closed).code, "link_stalled");
    await served;
    near.close();
    far.close();
  }
});
