import assert from "node:assert/strict";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import type { Connection, Listener } from "../../src/domain/ports.ts";
import { createCertificate, parseCertificate } from "../../src/identity/certificate.ts";
import type { Identity } from "../../src/identity/identity.ts";
import { createInvite, type Invite } from "../../src/identity/invite.ts";
import { joinerProof, pairingTranscript, verifierOf } from "../../src/identity/invite_proof.ts";
import { signWith } from "../../src/identity/signature.ts";
import { askToJoin } from "../../src/link/pairing.ts";
import { reachInviter } from "../../src/link/pairing_dial.ts";
import { TlsNetwork } from "../../src/link/tls_network.ts";
import { PairingHost } from "../../src/peer/pairing_host.ts";
import { MAX_WRONG_TRIES } from "../../src/store/invites.ts";
import { Store } from "../../src/store/store.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { FrameReader } from "../../src/wire/frame_reader.ts";
import { joinHeader, PAIRING_PREFACE, parseChallenge } from "../../src/wire/pairing.ts";
import { parseRawHeader, type RawHeader } from "../../src/domain/header.ts";
import { eventually } from "../helpers/eventually.ts";
import { Impostor } from "../helpers/impostor.ts";
import { encodeFrame } from "../wire/streams.ts";

const DAY_MS = 86_400_000;
const LIFE_MS = 600_000;

/** The real clock, but for a wall that can be wrong, and a monotonic one that can stand still. */
class WrongClock extends SystemClock {
  offMs = 0;
  stillMs: number | null = null;

  override now(): number {
    return super.now() + this.offMs;
  }

  override monotonic(): number {
    return this.stillMs ?? super.monotonic();
  }
}

async function identity(name: string, nowMs = Date.now()): Promise<Identity> {
  const { certificatePem, keyPem } = await createCertificate(name, nowMs);
  const { fingerprint } = parseCertificate(certificatePem, { nowMs });
  return { name, fingerprint, certificatePem, keyPem };
}

const [anna, bert, carl] = await Promise.all(["anna", "bert", "carl"].map((name) => identity(name)));
assert(anna && bert && carl);

/** Anna, who listens and makes invites. */
class Inviting implements Disposable {
  readonly store = new Store(":memory:");
  readonly clock = new WrongClock();
  readonly links: Connection[] = [];
  readonly paired: string[] = [];
  readonly refused: string[] = [];
  listener!: Listener;

  static async start(): Promise<Inviting> {
    const inviting = new Inviting();
    const { store, clock } = inviting;
    const host = new PairingHost({
      ...{ store, clock, fingerprint: () => anna!.fingerprint, name: "anna" },
      onPaired: (peer) => inviting.paired.push(peer.name),
      onRefused: (message) => inviting.refused.push(message),
    });
    const network = new TlsNetwork({ identity: () => anna!, trusted: () => store.peers.list(), clock });
    inviting.listener = await network.listen(
      { host: "127.0.0.1", port: 0 },
      (link) => inviting.links.push(link),
      host,
    );
    return inviting;
  }

  get addresses(): string[] {
    return [`127.0.0.1:${this.listener.address.port}`];
  }

  invite(lifeMs = LIFE_MS): Invite {
    const invite = createInvite(anna!.fingerprint, this.addresses);
    const nowMs = this.clock.now();
    const verifier = verifierOf(invite.secret);
    this.store.invites.add({ id: invite.id.toHex(), verifier, expiresMs: nowMs + lifeMs }, nowMs);
    return invite;
  }

  names(): string[] {
    return this.store.peers.list().map(({ name }) => name);
  }

  [Symbol.dispose](): void {
    this.listener.close();
    for (const link of this.links) link.close();
    this.store[Symbol.dispose]();
  }
}

function at({ addresses }: { readonly addresses: readonly string[] }) {
  return addresses.map((address) => ({ host: "127.0.0.1", port: Number(address.split(":")[1]) }));
}

/** Joins as the command does. */
async function join(invite: Invite, who: Identity, clock = new WrongClock()): Promise<string> {
  const { connection } = await reachInviter(at(invite), invite.fingerprint, clock);
  try {
    return await askToJoin(connection, invite, { identity: who, name: who.name, port: 22600 });
  } finally {
    connection.close();
  }
}

function fails(code: string, message: RegExp): (error: unknown) => true {
  return (error) => {
    assert(error instanceof MirrorError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

/** Somebody who speaks the conversation by hand. */
class Raw implements Disposable {
  readonly #reader: FrameReader;
  readonly connection: Connection;

  private constructor(connection: Connection) {
    this.connection = connection;
    this.#reader = new FrameReader(() => connection.read());
  }

  static async reach(inviting: Inviting): Promise<Raw> {
    return new Raw((await reachInviter(at(inviting), anna!.fingerprint, new WrongClock())).connection);
  }

  say(header: object, content: Uint8Array | null = null): Promise<void> {
    return this.connection.write(encodeFrame(header, content));
  }

  /** The next frame; `null` at the end, however it came. */
  async hear(): Promise<RawHeader | null> {
    try {
      const head = await this.#reader.head();
      return head === null ? null : parseRawHeader(head.headerBytes);
    } catch {
      return null;
    }
  }

  async nonce(): Promise<Uint8Array> {
    const challenge = await this.hear();
    assert(challenge !== null, "there is a challenge");
    return parseChallenge(challenge);
  }

  [Symbol.dispose](): void {
    this.connection.close();
  }
}

/** A right request to join, in which a test changes what it wants. */
function request(invite: Invite, who: Identity, nonce: Uint8Array) {
  const transcript = pairingTranscript(anna!.fingerprint, who.fingerprint, nonce);
  return {
    ...{ invite: invite.id.toHex(), name: who.name, certificatePem: who.certificatePem, port: 22600 },
    proof: joinerProof(invite.secret, transcript),
    signature: signWith(who.keyPem, transcript),
  };
}

Deno.test("pairing: both know each other afterwards, and the invite is used up", async () => {
  using inviting = await Inviting.start();
  const invite = inviting.invite();
  assert.equal(await join(invite, bert), "anna");
  const [peer] = inviting.store.peers.list();
  assert.equal(peer?.fingerprint, bert.fingerprint);
  assert.equal(peer?.certificatePem, bert.certificatePem);
  assert.equal(peer?.address, "127.0.0.1:22600");
  assert.deepEqual(inviting.paired, ["bert"]);

  assert.equal(await join(invite, bert), "anna", "the answer may have been lost: the same one may ask again");
  assert.deepEqual(inviting.paired, ["bert"]);
  await assert.rejects(join(invite, carl), fails("invite_refused", /used before/));
  inviting.store.peers.remove("bert");
  await assert.rejects(join(invite, bert), fails("invite_refused", /used before/), "removed is removed");
  assert.deepEqual(inviting.names(), []);
  const kinds = inviting.store.audit.newest(10).map(({ kind }) => kind);
  assert.deepEqual(kinds, ["invite_refused", "invite_refused", "peer_added"]);
});

Deno.test("pairing: two invites at once, a name that is taken, one that is trusted already", async () => {
  using inviting = await Inviting.start();
  const other = await identity("bert");
  const [first, second, third] = [inviting.invite(), inviting.invite(), inviting.invite()];
  await Promise.all([join(first, bert), join(second, other)]);
  assert.deepEqual(inviting.names(), ["bert", "bert-2"]);
  await join(third, other);
  assert.deepEqual(inviting.names(), ["bert", "bert-2"]);
});

Deno.test("pairing: the database holds nothing that one could join with", async () => {
  using inviting = await Inviting.start();
  const invite = inviting.invite();
  const row = inviting.store.invites.byId(invite.id.toHex())!;
  assert(
    !JSON.stringify([row, [...row.verifier.storedKey], [...row.verifier.replyKey]]).includes(
      invite.secret.toHex(),
    ),
  );
  for (const secret of [row.verifier.storedKey, row.verifier.replyKey]) {
    await assert.rejects(join({ ...invite, secret }, carl), fails("invite_refused", /secret is wrong/));
  }
});

Deno.test("pairing: five wrong secrets end an invite, and shut the door", async () => {
  using inviting = await Inviting.start();
  const invite = inviting.invite();
  const wrong = { ...invite, secret: crypto.getRandomValues(new Uint8Array(16)) };
  for (let tries = 1; tries <= MAX_WRONG_TRIES; tries++) {
    await assert.rejects(join(wrong, carl), fails("invite_refused", /secret is wrong/));
  }
  await assert.rejects(join(invite, bert), fails("unreachable", /no invite is open there/));
  const another = inviting.invite();
  await assert.rejects(join(invite, bert), fails("invite_refused", /ended by 5 wrong tries/));
  assert.equal(await join(another, bert), "anna", "another invite is not touched by it");
});

Deno.test("pairing: an expired invite is worthless, by the inviter's clock", async () => {
  using inviting = await Inviting.start();
  const invite = inviting.invite();
  inviting.clock.offMs = LIFE_MS;
  await assert.rejects(join(invite, bert), fails("unreachable", /has expired/));
  inviting.invite();
  await assert.rejects(join(invite, bert), fails("invite_refused", /expired at/));
  await assert.rejects(
    join({ ...invite, id: new Uint8Array(8) }, bert),
    fails("invite_refused", /no such invite/),
  );
  assert.deepEqual(inviting.names(), []);
});

Deno.test("pairing: a wrong clock on either side is named", async () => {
  using inviting = await Inviting.start();
  const invite = inviting.invite();
  const slow = new WrongClock();
  slow.offMs = -3 * DAY_MS;
  await assert.rejects(
    join(invite, bert, slow),
    fails("bad_certificate", /inviter's certificate.*wrong clock/),
  );
  const fast = new WrongClock();
  fast.offMs = 30 * 366 * DAY_MS;
  await assert.rejects(join(invite, bert, fast), fails("bad_certificate", /expired.*clock/));
  const tomorrow = await identity("dora", Date.now() + 3 * DAY_MS);
  await assert.rejects(join(invite, tomorrow), fails("bad_certificate", /joiner's certificate.*wrong clock/));
  assert.deepEqual(inviting.names(), []);
  assert.equal(await join(invite, bert), "anna", "the invite is as good as before");
});

Deno.test("pairing: proofs do not work again, nor for another", async (t) => {
  using inviting = await Inviting.start();
  await t.step("a recorded request, on another connection", async () => {
    const invite = inviting.invite();
    const { recorded, said } = await (async () => {
      using raw = await Raw.reach(inviting);
      return { recorded: request(invite, bert!, await raw.nonce()), said: null };
    })();
    assert.equal(said, null);
    using raw = await Raw.reach(inviting);
    await raw.nonce();
    await raw.say(joinHeader("1", recorded));
    assert.equal((await raw.hear())?.["code"], "bad_certificate");
  });
  await t.step("a recorded proof with a fresh signature", async () => {
    const invite = inviting.invite();
    using raw = await Raw.reach(inviting);
    const fresh = request(invite, bert!, await raw.nonce());
    const { proof } = request(invite, bert!, crypto.getRandomValues(new Uint8Array(32)));
    await raw.say(joinHeader("1", { ...fresh, proof }));
    const reply = await raw.hear();
    assert.equal(reply?.["code"], "invite_refused");
    assert.match(String(reply?.["message"]), /secret is wrong/);
  });
  await t.step("another's certificate, whose key is not there", async () => {
    const invite = inviting.invite();
    using raw = await Raw.reach(inviting);
    const nonce = await raw.nonce();
    const signature = request(invite, carl!, nonce).signature;
    await raw.say(joinHeader("1", { ...request(invite, bert!, nonce), signature }));
    assert.equal((await raw.hear())?.["code"], "bad_certificate");
  });
  await t.step("the inviter's own certificate", async () => {
    const invite = inviting.invite();
    await assert.rejects(join(invite, anna!), fails("invite_refused", /with itself/));
  });
  assert.deepEqual(inviting.names(), []);
});

Deno.test("pairing: an inviter that does not know the secret is found out", async () => {
  using inviting = await Inviting.start();
  const invite = inviting.invite();
  const id = invite.id.toHex();
  const verifier = { ...verifierOf(invite.secret), replyKey: new Uint8Array(32) };
  inviting.store.transaction(() => {
    inviting.clock.offMs = 2 * DAY_MS;
    inviting.invite(); // sweeps the first one away
    inviting.clock.offMs = 0;
    inviting.store.invites.add({ id, verifier, expiresMs: Date.now() + LIFE_MS }, Date.now());
  });
  await assert.rejects(join(invite, bert), fails("invite_refused", /does not know the invite's secret/));
});

Deno.test("pairing: whoever is in between hears nothing but TLS, and pairs with nobody", async (t) => {
  using inviting = await Inviting.start();
  const prefaceBytes = PAIRING_PREFACE.length;
  const throughImpostor = (impostor: Impostor) => ({
    ...inviting.invite(),
    addresses: [`127.0.0.1:${impostor.port}`],
  });
  await t.step("with another certificate", async () => {
    using impostor = new Impostor({ ...carl!, prefaceBytes });
    await assert.rejects(
      join(throughImpostor(impostor), bert!),
      fails("not_trusted", /not the inviter.*said/),
    );
    assert.equal(impostor.connections, 1);
    assert(!impostor.heard.includes(23), "no data was sent");
  });
  await t.step("with the inviter's certificate, but not its key", async () => {
    using impostor = new Impostor({
      certificatePem: anna!.certificatePem,
      keyPem: carl!.keyPem,
      prefaceBytes,
    });
    await assert.rejects(join(throughImpostor(impostor), bert!), fails("not_trusted", /not proved.*key/));
    assert.equal(impostor.connections, 1);
    assert(impostor.heard.every((type) => type === 21), "nothing but alerts");
  });
  await t.step("the right address is found beside theirs", async () => {
    using impostor = new Impostor({ ...carl!, prefaceBytes });
    const invite = throughImpostor(impostor);
    assert.equal(
      await join({ ...invite, addresses: [...invite.addresses, ...inviting.addresses] }, bert!),
      "anna",
    );
  });
  assert.deepEqual(inviting.names(), ["bert"]);
});

Deno.test("pairing: the door is shut but for invites, and never leads to a link", async () => {
  using inviting = await Inviting.start();
  const knock = () => reachInviter(at(inviting), anna!.fingerprint, new WrongClock());
  await assert.rejects(knock(), fails("unreachable", /no invite is open/), "nobody trusted, no invite");
  inviting.store.peers.add({ ...bert!, address: null, addedMs: 0 });
  await assert.rejects(knock(), fails("unreachable", /no invite is open/), "somebody trusted, no invite");
  inviting.invite();
  const network = new TlsNetwork({ identity: () => bert!, trusted: () => [anna!], clock: new WrongClock() });
  const never = new AbortController().signal;
  const link = await network.dial(at(inviting)[0]!, anna!.fingerprint, never);
  await eventually(
    "a trusted peer gets in while an invite is open",
    () => assert.equal(inviting.links.length, 1),
  );
  link.close();
  const stranger = new TlsNetwork({ identity: () => carl!, trusted: () => [anna!], clock: new WrongClock() });
  const refused = await stranger.dial(at(inviting)[0]!, null, never);
  await assert.rejects(refused.read().then((bytes) => assert.notEqual(bytes, null)));
  refused.close();
  assert.equal(inviting.links.length, 1);
});

Deno.test("pairing: what is no request is answered or cut off, and costs the invite nothing", async () => {
  using inviting = await Inviting.start();
  const invite = inviting.invite();
  const good = { ...joinHeader("1", request(invite, bert!, new Uint8Array(32))) } as Record<string, unknown>;
  const wrong: [field: string, value: unknown][] = [
    ["action", "create"],
    ["action", undefined],
    ["invite", 7],
    ["invite", "../../etc"],
    ["name", ""],
    ["name", "\u001b[31m"],
    ["name", "n".repeat(65)],
    ["certificate", "-----BEGIN CERTIFICATE-----"],
    ["certificate", null],
    ["port", 0],
    ["port", "22"],
    ["port", 65536],
    ["proof", "00"],
    ["proof", "zz".repeat(32)],
    ["signature", ""],
    ["signature", "00".repeat(71)],
  ];
  const start = inviting.clock.monotonic();
  for (const [i, [field, value]] of wrong.entries()) {
    inviting.clock.stillMs = start + i * 10_000; // slowly enough to be heard
    using raw = await Raw.reach(inviting);
    await raw.nonce();
    await raw.say({ ...good, [field]: value });
    const reply = await raw.hear();
    assert.equal(reply?.["status"], "error", `${field} ${value}`);
    assert.match(String(reply?.["code"]), /^bad_(header|certificate)$/, `${field} ${value}`);
  }
  const frames = [
    new Uint8Array([255, 255, 255, 255, 255, 255, 255, 255]),
    encodeFrame({ pad: "x".repeat(9000) }, null),
    encodeFrame(good, new Uint8Array(10)),
    encodeFrame([], null),
    new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"),
  ];
  for (const bytes of frames) {
    using raw = await Raw.reach(inviting);
    await raw.nonce();
    await raw.connection.write(bytes);
    assert.equal(await raw.hear(), null);
  }
  assert.deepEqual(inviting.refused, []);
  assert.equal(await join(invite, bert!), "anna");
});

Deno.test("pairing: however many knock, few are heard, and a trusted peer gets in", async () => {
  using inviting = await Inviting.start();
  inviting.store.peers.add({ ...carl!, address: null, addedMs: 0 });
  const invite = { ...inviting.invite(), secret: new Uint8Array(16), id: new Uint8Array(8) };
  inviting.clock.stillMs = inviting.clock.monotonic(); // no time passes: what is heard is what a burst may be
  let heard = 0;
  const knock = async () => {
    try {
      await join(invite, bert!);
    } catch (error) {
      if (error instanceof MirrorError && error.code === "invite_refused") heard++;
    }
  };
  for (let round = 0; round < 30; round++) await Promise.all(Array.from({ length: 8 }, knock));
  assert(heard > 0 && heard <= 40, `${heard} of 240 were heard`);
  const network = new TlsNetwork({ identity: () => carl!, trusted: () => [anna!], clock: new WrongClock() });
  const link = await network.dial(at(inviting)[0]!, null, new AbortController().signal);
  await eventually("the trusted peer gets in", () => assert.equal(inviting.links.length, 1));
  link.close();
  assert.deepEqual(inviting.names(), ["carl"]);
});
