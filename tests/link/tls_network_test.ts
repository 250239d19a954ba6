import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import tls from "node:tls";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import type { Clock, Connection, Listener } from "../../src/domain/ports.ts";
import { createCertificate, parseCertificate } from "../../src/identity/certificate.ts";
import type { Identity } from "../../src/identity/identity.ts";
import { parseAddress } from "../../src/link/address.ts";
import { MAX_HANDSHAKES } from "../../src/link/handshakes.ts";
import { HANDSHAKE_DEADLINE_MS } from "../../src/link/tls_listener.ts";
import { TlsNetwork } from "../../src/link/tls_network.ts";
import { within } from "../helpers/eventually.ts";

/** Wall time, with timers that run only when a test says so: a test that needs a deadline never waits for it. */
class HandClock implements Clock {
  readonly timers = new Set<{ delayMs: number; callback: () => void }>();

  now(): number {
    return Date.now();
  }

  monotonic(): number {
    return performance.now();
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { delayMs, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  /** Lets all timers of one length run out. */
  runOut(delayMs: number): void {
    for (const timer of [...this.timers]) {
      if (timer.delayMs !== delayMs) continue;
      this.timers.delete(timer);
      timer.callback();
    }
  }
}

const NEVER = new AbortController().signal;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

async function identity(name: string, nowMs = Date.now()): Promise<Identity> {
  const { certificatePem, keyPem } = await createCertificate(name, nowMs);
  const { fingerprint } = parseCertificate(certificatePem, { nowMs });
  return { name, fingerprint, certificatePem, keyPem };
}

function network(self: Identity, ...trusted: Identity[]): TlsNetwork {
  return new TlsNetwork({ identity: () => self, trusted: () => trusted, clock: new HandClock() });
}

const [alice, bob, mallory, otherBob] = await Promise.all(
  ["alice", "bob", "mallory", "bob"].map((n) => identity(n)),
);
assert(alice && bob && mallory && otherBob);

/** A listener whose connections can be waited for, one after the other. */
interface Server extends Disposable {
  readonly listener: Listener;
  readonly host: string;
  readonly port: number;
  /** Connections that nobody has taken yet. */
  readonly accepted: Connection[];
  next(): Promise<Connection>;
}

async function serve(net: TlsNetwork, host = "127.0.0.1"): Promise<Server> {
  const accepted: Connection[] = [];
  const waiting: Array<(connection: Connection) => void> = [];
  const listener = await net.listen({ host, port: 0 }, (connection) => {
    const next = waiting.shift();
    if (next === undefined) accepted.push(connection);
    else next(connection);
  });
  return {
    listener,
    host: listener.address.host,
    port: listener.address.port,
    accepted,
    next: () => {
      const connection = accepted.shift();
      return connection === undefined ? new Promise((r) => waiting.push(r)) : Promise.resolve(connection);
    },
    [Symbol.dispose]: () => {
      listener.close();
      for (const connection of accepted) connection.close();
    },
  };
}

async function readAll(connection: Connection): Promise<string> {
  let text = "";
  for (let chunk; (chunk = await connection.read()) !== null;) {
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

/** What a stranger's TLS library makes of the server: everything up to the moment when the connection is over. */
async function knock(
  port: number,
  options: tls.ConnectionOptions,
): Promise<{ heard: string; error: string }> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  const duplex = plainDuplex(conn);
  const socket = tls.connect({ socket: duplex, checkServerIdentity: () => undefined, ...options });
  const { promise, resolve } = Promise.withResolvers<void>();
  let heard = "";
  let error = "";
  socket.on("secureConnect", () => socket.write("let me in"));
  socket.on("data", (chunk: Uint8Array) => heard += decoder.decode(chunk));
  socket.on("error", (cause: Error) => error ||= cause.message);
  socket.on("end", resolve);
  socket.on("close", resolve);
  await promise;
  socket.destroy();
  duplex.destroy();
  return { heard, error };
}

function plainDuplex(conn: Deno.Conn): Duplex {
  return new Duplex({
    read() {
      const bytes = new Uint8Array(65536);
      conn.read(bytes).then((n) => this.push(n === null ? null : bytes.subarray(0, n)), () => this.destroy());
    },
    write(chunk: Uint8Array, _encoding, done) {
      (async () => {
        for (let rest = chunk; rest.length > 0;) rest = rest.subarray(await conn.write(rest));
      })().then(() => done(), done);
    },
    destroy(_error, done) {
      try {
        conn.close();
      } catch { /* closed before */ }
      done(null);
    },
  });
}

/** The other side is cut off; whether it sees an end or a reset depends on what was still on its way. */
async function hangUp(conn: Deno.Conn): Promise<void> {
  const bytes = new Uint8Array(4096);
  try {
    while (await conn.read(bytes) !== null);
  } catch (error) {
    assert(error instanceof Deno.errors.ConnectionReset, String(error));
  }
  conn.close();
}

function fails(code: string, ...words: string[]) {
  return (error: unknown) => {
    assert(error instanceof MirrorError, String(error));
    assert.equal(error.code, code, error.message);
    for (const word of words) assert(error.message.includes(word), `${word} is missing in: ${error.message}`);
    return true;
  };
}

/** After attempts that must fail: the server is well, and the only one who ever got in is the trusted peer. */
async function onlyBobGetsIn(server: Server): Promise<void> {
  const [atBob, atAlice] = await Promise.all([
    network(bob!, alice!).dial({ host: "127.0.0.1", port: server.port }, alice!.fingerprint, NEVER),
    server.next(),
  ]);
  assert.equal(atAlice.peerFingerprint, bob!.fingerprint);
  await atBob.write(encoder.encode("bob"));
  assert.equal(decoder.decode((await atAlice.read())!), "bob");
  assert.equal(server.accepted.length, 0);
  atBob.close();
  atAlice.close();
}

Deno.test("two peers talk in both directions and know each other", async () => {
  using server = await serve(network(alice, bob));
  const [atBob, atAlice] = await Promise.all([
    network(bob, alice).dial({ host: "127.0.0.1", port: server.port }, alice.fingerprint, NEVER),
    server.next(),
  ]);
  assert.equal(atBob.peerFingerprint, alice.fingerprint);
  assert.equal(atAlice.peerFingerprint, bob.fingerprint);
  assert.equal(atBob.dialled, true);
  assert.equal(atAlice.dialled, false);
  assert.equal(atBob.remoteAddress, `127.0.0.1:${server.port}`);
  await atBob.write(encoder.encode("ping"));
  assert.equal(decoder.decode((await atAlice.read())!), "ping");
  await atAlice.write(encoder.encode("pong"));
  assert.equal(decoder.decode((await atBob.read())!), "pong");
  await atBob.closeWrite();
  assert.equal(await atAlice.read(), null);
  assert.equal(await atAlice.read(), null);
  await atAlice.closeWrite();
  assert.equal(await atBob.read(), null);
  atBob.close();
  atAlice.close();
});

Deno.test("a peer that half-closes still gets a long reply", async () => {
  using server = await serve(network(alice, bob));
  const reply = "r".repeat(8 * 1024 * 1024);
  const serveOne = async () => {
    const connection = await server.next();
    const asked = await readAll(connection);
    await connection.write(encoder.encode(reply));
    await connection.closeWrite();
    return asked;
  };
  const dial = async () => {
    const connection = await network(bob, alice).dial({ host: "127.0.0.1", port: server.port }, null, NEVER);
    await connection.write(encoder.encode("question"));
    await connection.closeWrite();
    return await readAll(connection);
  };
  const [asked, got] = await Promise.all([serveOne(), dial()]);
  assert.equal(asked, "question");
  assert.equal(got.length, reply.length);
});

Deno.test("the server cuts off whoever is not trusted", async (t) => {
  using server = await serve(network(alice, bob));
  const ca = alice.certificatePem;
  const cases: Array<[string, tls.ConnectionOptions]> = [
    ["no certificate", { ca }],
    ["a stranger", { ca, key: mallory.keyPem, cert: mallory.certificatePem }],
    ["the same name with another key", { ca, key: otherBob.keyPem, cert: otherBob.certificatePem }],
    ["TLS 1.2", {
      ca,
      key: bob.keyPem,
      cert: bob.certificatePem,
      minVersion: "TLSv1.2",
      maxVersion: "TLSv1.2",
    }],
  ];
  for (const [name, options] of cases) {
    await t.step(name, async () => {
      const { heard } = await knock(server.port, options);
      assert.equal(heard, "");
      assert.equal(server.accepted.length, 0);
    });
  }
  await t.step("plain TCP bytes", async () => {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
    await conn.write(encoder.encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    await hangUp(conn);
  });
  await t.step("a port scan", async () => {
    (await Deno.connect({ hostname: "127.0.0.1", port: server.port })).close();
    assert.equal(server.accepted.length, 0);
  });
  await onlyBobGetsIn(server);
});

Deno.test("a pinned certificate that has expired is refused on both ends", async (t) => {
  const longAgo = await identity("old", Date.now() - 30 * 365.25 * 86_400_000);
  await t.step("the client's", async () => {
    using server = await serve(network(alice, longAgo, bob));
    const { heard } = await knock(server.port, {
      ca: alice.certificatePem,
      key: longAgo.keyPem,
      cert: longAgo.certificatePem,
    });
    assert.equal(heard, "");
    await onlyBobGetsIn(server);
  });
  await t.step("the server's", async () => {
    using server = await serve(network(longAgo, bob));
    await assert.rejects(
      network(bob, longAgo).dial({ host: "127.0.0.1", port: server.port }, longAgo.fingerprint, NEVER),
      fails("not_trusted", "expired"),
    );
  });
});

Deno.test("a pinned certificate whose first day is still to come is refused", async () => {
  const early = await identity("early", Date.now() + 10 * 86_400_000);
  using server = await serve(network(alice, early, bob));
  const { heard } = await knock(server.port, {
    ca: alice.certificatePem,
    key: early.keyPem,
    cert: early.certificatePem,
  });
  assert.equal(heard, "");
  await onlyBobGetsIn(server);
});

Deno.test("with nobody trusted, nobody is let in and nobody is dialled", async () => {
  using server = await serve(network(alice));
  await assert.rejects(
    network(bob, alice).dial({ host: "127.0.0.1", port: server.port }, null, NEVER),
    fails("unreachable", "peer add"),
  );
  assert.equal(server.accepted.length, 0);
  await assert.rejects(
    network(bob).dial({ host: "127.0.0.1", port: server.port }, null, NEVER),
    fails("not_trusted", "peer add"),
  );
});

Deno.test("of two trusted peers with the same name each is taken for itself", async () => {
  using server = await serve(network(alice, otherBob, bob));
  for (const self of [bob, otherBob]) {
    const [dialled, accepted]: [Connection, Connection] = await Promise.all([
      network(self, alice).dial({ host: "127.0.0.1", port: server.port }, null, NEVER),
      server.next(),
    ]);
    assert.equal(accepted.peerFingerprint, self.fingerprint);
    dialled.close();
    accepted.close();
  }
});

Deno.test("a change of the trusted peers holds from the next handshake on", async () => {
  let trusted: Identity[] = [mallory];
  const net = new TlsNetwork({ identity: () => alice, trusted: () => trusted, clock: new HandClock() });
  using server = await serve(net);
  const asBob = { ca: alice.certificatePem, key: bob.keyPem, cert: bob.certificatePem };
  assert.equal((await knock(server.port, asBob)).heard, "");
  trusted = [bob];
  await onlyBobGetsIn(server);
  trusted = [mallory];
  assert.equal((await knock(server.port, asBob)).heard, "");
  assert.equal(server.accepted.length, 0);
});

Deno.test("trust that ends during a handshake ends the handshake", async () => {
  let asked = 0;
  const trusted = () => asked++ === 0 ? [bob] : [mallory];
  using server = await serve(new TlsNetwork({ identity: () => alice, trusted, clock: new HandClock() }));
  const asBob = { ca: alice.certificatePem, key: bob.keyPem, cert: bob.certificatePem };
  assert.equal((await knock(server.port, asBob)).heard, "");
  assert(asked >= 2);
  assert.equal(server.accepted.length, 0);
});

Deno.test("the dialler refuses another peer than the one it expects", async (t) => {
  using server = await serve(network(mallory, bob));
  const address = { host: "127.0.0.1", port: server.port };
  await t.step("a stranger, whose fingerprint it tells", async () => {
    const shown = mallory.fingerprint.toUpperCase().match(/../g)!.join(":");
    await assert.rejects(
      network(bob, alice).dial(address, null, NEVER),
      fails("not_trusted", shown, "peer add"),
    );
  });
  await t.step("another trusted peer", async () => {
    await assert.rejects(
      network(bob, alice, mallory).dial(address, alice.fingerprint, NEVER),
      fails("not_trusted"),
    );
  });
  await t.step("the expected peer when it is no longer trusted", async () => {
    await assert.rejects(
      network(bob, alice).dial(address, mallory.fingerprint, NEVER),
      fails("not_trusted", "not trusted"),
    );
  });
});

Deno.test("silent connections do not keep a trusted peer out", async () => {
  using server = await serve(network(alice, bob));
  const silent = await Promise.all(
    Array.from({ length: 70 }, () => Deno.connect({ hostname: "127.0.0.1", port: server.port })),
  );
  await onlyBobGetsIn(server);
  server.listener.close(); // ends the handshakes that are still unfinished
  await Promise.all(silent.map(hangUp));
});

Deno.test("a flood from one address does not push out the slow handshake of a peer that comes from another", async () => {
  using server = await serve(network(alice, bob), "::");
  const conn = await Deno.connect({ hostname: "::1", port: server.port });
  const duplex = plainDuplex(conn);
  const { promise: flooded, resolve: letOn } = Promise.withResolvers<void>();
  const write = duplex._write.bind(duplex);
  // The peer's first bytes arrive; what it answers to the server's is on its way for long.
  let writes = 0;
  duplex._write = (chunk, encoding, done) => {
    if (++writes === 1) return write(chunk, encoding, done);
    void flooded.then(() => write(chunk, encoding, done));
  };
  const socket = tls.connect({
    ...{ socket: duplex, checkServerIdentity: () => undefined, minVersion: "TLSv1.3" },
    ...{ key: bob.keyPem, cert: bob.certificatePem, ca: alice.certificatePem },
  });
  await new Promise<void>((resolve) => socket.once("secureConnect", () => resolve()));
  const flood: Deno.Conn[] = [];
  for (let i = 0; i < 200; i++) flood.push(await Deno.connect({ hostname: "127.0.0.1", port: server.port }));
  // The oldest of the flood have made room for the newest.
  await Promise.all(flood.splice(0, 200 - (MAX_HANDSHAKES - 1)).map(hangUp));
  letOn();
  const accepted = await within("the peer gets in", 10_000, server.next());
  assert.equal(accepted.peerFingerprint, bob.fingerprint);
  accepted.close();
  socket.destroy();
  duplex.destroy();
  server.listener.close();
  await Promise.all(flood.map(hangUp));
});

Deno.test("a handshake that never ends is cut off at its deadline", async (t) => {
  await t.step("by the listener", async () => {
    const clock = new HandClock();
    using server = await serve(new TlsNetwork({ identity: () => alice, trusted: () => [bob], clock }));
    const silent = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
    await onlyBobGetsIn(server); // so the silent one, which came first, has been accepted
    clock.runOut(HANDSHAKE_DEADLINE_MS);
    await hangUp(silent);
    assert.equal(clock.timers.size, 0);
  });
  await t.step("by the dialler", async () => {
    const clock = new HandClock();
    using mute = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const net = new TlsNetwork({ identity: () => bob, trusted: () => [alice], clock });
    const dialling = net.dial({ host: "127.0.0.1", port: mute.addr.port }, null, NEVER);
    const refused = assert.rejects(dialling, fails("unreachable", "10 s", `127.0.0.1:${mute.addr.port}`));
    const conn = await mute.accept();
    clock.runOut(HANDSHAKE_DEADLINE_MS);
    await refused;
    await hangUp(conn);
  });
});

Deno.test("a dial can be called off", async () => {
  using mute = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const stop = new AbortController();
  const dialling = network(bob, alice).dial({ host: "127.0.0.1", port: mute.addr.port }, null, stop.signal);
  const refused = assert.rejects(dialling, fails("unreachable", "called off"));
  const conn = await mute.accept();
  stop.abort();
  await refused;
  await hangUp(conn);
  await assert.rejects(
    network(bob, alice).dial({ host: "127.0.0.1", port: mute.addr.port }, null, AbortSignal.abort()),
    fails("unreachable", "called off"),
  );
});

Deno.test("what cannot be reached says why", async (t) => {
  await t.step("nothing listens", async () => {
    const gone = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = gone.addr;
    gone.close();
    await assert.rejects(
      network(bob, alice).dial({ host: "127.0.0.1", port }, null, NEVER),
      fails("unreachable", `127.0.0.1:${port}`, "nothing listens"),
    );
  });
  await t.step("no such name", async () => {
    await assert.rejects(
      network(bob, alice).dial({ host: "no-such-host.invalid", port: 1 }, null, NEVER),
      fails("unreachable", "no-such-host.invalid:1", "name"),
    );
  });
  await t.step("another program", async () => {
    using other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const dialling = network(bob, alice).dial({ host: "127.0.0.1", port: other.addr.port }, null, NEVER);
    const refused = assert.rejects(dialling, fails("unreachable", "another program"));
    const conn = await other.accept();
    await conn.write(encoder.encode("SSH-2.0-OpenSSH_9.2p1\r\n"));
    await refused;
    await hangUp(conn);
  });
});

Deno.test("a port that is taken, and an address that is not ours", async () => {
  using server = await serve(network(alice, bob));
  await assert.rejects(
    network(alice, bob).listen({ host: "127.0.0.1", port: server.port }, () => {}),
    fails("port_in_use", String(server.port), "--listen"),
  );
  await assert.rejects(
    network(alice, bob).listen({ host: "192.0.2.1", port: 0 }, () => {}),
    fails("bad_config", "192.0.2.1"),
  );
});

for (const host of ["localhost", "::1", "::", "0.0.0.0"]) {
  Deno.test(`listening on ${host}`, async () => {
    using server = await serve(network(alice, bob), host);
    const to = host === "::" ? "::1" : host === "0.0.0.0" ? "127.0.0.1" : host;
    const [dialled, accepted]: [Connection, Connection] = await Promise.all([
      network(bob, alice).dial({ host: to, port: server.port }, alice.fingerprint, NEVER),
      server.next(),
    ]);
    assert.equal(parseAddress(accepted.remoteAddress).port > 0, true);
    dialled.close();
    accepted.close();
  });
}

Deno.test("closing the listener leaves the connections", async () => {
  const server = await serve(network(alice, bob));
  const address = { host: "127.0.0.1", port: server.port };
  const [dialled, accepted] = await Promise.all([
    network(bob, alice).dial(address, null, NEVER),
    server.next(),
  ]);
  server.listener.close();
  server.listener.close();
  await dialled.write(encoder.encode("still here"));
  assert.equal(decoder.decode((await accepted.read())!), "still here");
  await assert.rejects(network(bob, alice).dial(address, null, NEVER), fails("unreachable"));
  dialled.close();
  accepted.close();
});

Deno.test("a closed connection fails whoever waits for it", async () => {
  using server = await serve(network(alice, bob));
  const address = { host: "127.0.0.1", port: server.port };
  const [dialled, accepted] = await Promise.all([
    network(bob, alice).dial(address, null, NEVER),
    server.next(),
  ]);
  const reading = assert.rejects(dialled.read(), fails("link_closed", "on this side"));
  dialled.close();
  dialled.close();
  await reading;
  await assert.rejects(dialled.write(encoder.encode("x")), fails("link_closed"));
  await assert.rejects(dialled.closeWrite(), fails("link_closed"));
  await assert.rejects(dialled.read(), fails("link_closed"));
  // Without TLS's goodbye the other side sees the end of the stream; its writes fail soon after.
  assert.equal(await accepted.read().catch(() => null), null);
  await assert.rejects(async () => {
    for (;;) await accepted.write(new Uint8Array(65536));
  }, fails("link_closed"));
  accepted.close();
});

Deno.test("closing fails a write that the other side does not take", async () => {
  using server = await serve(network(alice, bob));
  const address = { host: "127.0.0.1", port: server.port };
  const [dialled, accepted] = await Promise.all([
    network(bob, alice).dial(address, null, NEVER),
    server.next(),
  ]);
  const writing = assert.rejects(dialled.write(new Uint8Array(64 * 1024 * 1024)), fails("link_closed"));
  await accepted.read(); // so it has begun
  dialled.close();
  await writing;
  accepted.close();
});

Deno.test("a slow reader holds the writer back, and everything arrives intact", async () => {
  using server = await serve(network(alice, bob));
  const address = { host: "127.0.0.1", port: server.port };
  const [writer, reader] = await Promise.all([network(bob, alice).dial(address, null, NEVER), server.next()]);
  const totalBytes = 300 * 1024 * 1024;
  const block = 256 * 1024;
  let written = 0;
  const writeAll = async () => {
    for (let offset = 0; offset < totalBytes; offset += block) {
      const bytes = new Uint32Array(block / 4);
      for (let i = 0; i < bytes.length; i++) bytes[i] = offset / 4 + i;
      await writer.write(new Uint8Array(bytes.buffer));
      written += block;
    }
    await writer.closeWrite();
  };
  const rssBefore = Deno.memoryUsage().rss;
  const writing = writeAll();
  // Nobody reads. The writer has come to a stand when it made no progress during 50 turns of the timer: an end of waiting
  // that depends on nothing but the writer itself.
  for (let last = -1, still = 0; still < 50;) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    still = written === last ? still + 1 : 0;
    last = written;
  }
  assert(written < 32 * 1024 * 1024, `${written} bytes were taken although nobody reads`);
  const grownBytes = Deno.memoryUsage().rss - rssBefore;
  assert(grownBytes < 100 * 1024 * 1024, `memory grew by ${grownBytes} bytes`);

  let received = 0;
  for (let chunk; (chunk = await reader.read()) !== null;) {
    // Each byte in its place: the word at n says n.
    for (let i = 0; i < chunk.length; i += 997) {
      const at = received + i;
      assert.equal(chunk[i], (at >>> 2) >>> ((at & 3) * 8) & 0xff);
    }
    received += chunk.length;
  }
  assert.equal(received, totalBytes);
  await writing;
  writer.close();
  reader.close();
});
