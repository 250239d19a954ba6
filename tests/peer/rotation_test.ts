import assert from "node:assert/strict";
import { createCertificate, parseCertificate } from "../../src/identity/certificate.ts";
import {
  ensureIdentity,
  ensureNextIdentity,
  loadIdentity,
  takeNextIdentity,
} from "../../src/identity/identity.ts";
import { signWith } from "../../src/identity/signature.ts";
import { TlsNetwork } from "../../src/link/tls_network.ts";
import { ROTATION_FACT } from "../../src/peer/rotation_fact.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { FrameReader } from "../../src/wire/frame_reader.ts";
import { EXTENSIONS, helloFields } from "../../src/wire/hello.ts";
import { announcementHeader, rotationStatement } from "../../src/wire/rotation.ts";
import { parseRawHeader, type RawHeader } from "../../src/domain/header.ts";
import { parseAddress } from "../../src/link/address.ts";
import { eventually } from "../helpers/eventually.ts";
import { assertFile, put } from "../helpers/tree.ts";
import { encodeFrame } from "../wire/streams.ts";
import { type Home, Pair } from "./pair.ts";

/** What `identity rotate` does. */
async function askFor(home: Home, now = false): Promise<string> {
  const next = await ensureNextIdentity(home.folder, home.identity.name);
  const { fingerprint } = next;
  home.command((store) => store.facts.set(ROTATION_FACT, { fingerprint, now }));
  return fingerprint;
}

async function fingerprintOf(home: Home): Promise<string> {
  return (await loadIdentity(home.folder))!.fingerprint;
}

/** Waits until a home has an identity, and the other one trusts that and nothing else. */
async function assertChanged(home: Home, other: Home, fingerprint: string): Promise<void> {
  await eventually("the new identity is in use, and known", async () => {
    assert.equal(await fingerprintOf(home), fingerprint);
    const [peer] = other.command((store) => store.peers.list());
    assert.equal(peer?.fingerprint, fingerprint);
    assert.equal(peer?.next, null);
    assert.equal(other.running!.status().peers[0]?.link, "up");
  }, { deadlineMs: 10_000 });
  await assert.rejects(Deno.stat(`${home.folder}/next.pem`), Deno.errors.NotFound);
}

async function assertMirrors({ anna, bert }: Pair, mark: string): Promise<void> {
  await put(`${anna.watched}/${mark}`, `anna ${mark}`);
  await put(`${bert.watched}/${mark}`, `bert ${mark}`);
  await assertFile(`${bert.synced}/${mark}`, `anna ${mark}`);
  await assertFile(`${anna.synced}/${mark}`, `bert ${mark}`);
}

for (const who of ["the one that dials", "the one that listens", "both at once"] as const) {
  Deno.test(`rotation: while both are linked (${who})`, async () => {
    await using pair = await Pair.running();
    const { anna, bert } = pair;
    await assertMirrors(pair, "before");
    const before = anna.command((store) => store.peers.list()[0]!);
    const ofAnna = who === "the one that listens" ? null : await askFor(anna);
    const ofBert = who === "the one that dials" ? null : await askFor(bert);
    if (ofAnna !== null) await assertChanged(anna, bert, ofAnna);
    if (ofBert !== null) await assertChanged(bert, anna, ofBert);
    await assertMirrors(pair, "after");
    const after = anna.command((store) => store.peers.list()[0]!);
    assert.equal(after.number, before.number, "what was mirrored stays");
    // Whoever has the old key is nobody any more.
    const old = ofAnna === null ? bert : anna;
    const other = old === anna ? bert : anna;
    const thief = new TlsNetwork({
      identity: () => old.identity,
      trusted: () => [other.keeper!.current],
      clock: new SystemClock(),
    });
    const stolen = await thief.dial(parseAddress(other.address), null, AbortSignal.timeout(5_000));
    assert.equal(await stolen.read().catch(() => null), null);
    stolen.close();
    anna.assertQuiet();
    bert.assertQuiet();
  });
}

Deno.test("rotation: a peer that is away is waited for, with the old identity in use", async () => {
  await using pair = await Pair.running();
  const { anna, bert } = pair;
  await assertMirrors(pair, "before");
  const old = await fingerprintOf(anna);
  await bert.stop();
  const next = await askFor(anna);
  await anna.stop();
  await anna.start(); // which must not lose what was asked for
  assert.equal(await fingerprintOf(anna), old);
  await bert.start();
  anna.trust(bert, bert.address);
  await assertChanged(anna, bert, next);
  await assertMirrors(pair, "after");
});

Deno.test("rotation: without peers, and with --now, it is done at once", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await anna.start();
  const done = (fingerprint: string) =>
    eventually("it is done", async () => {
      assert.equal(await fingerprintOf(anna), fingerprint);
      assert.equal(anna.running!.status().fingerprint, fingerprint);
      assert.equal(anna.command((store) => store.facts.get(ROTATION_FACT)), null);
    });
  await done(await askFor(anna));
  anna.trust(bert);
  await done(await askFor(anna, true));
});

Deno.test("rotation: an open invite, which names the old identity, is waited for", async () => {
  await using pair = await Pair.running();
  const { anna, bert } = pair;
  const id = "00".repeat(8);
  const verifier = { storedKey: new Uint8Array(32), replyKey: new Uint8Array(32) };
  anna.command((store) => store.invites.add({ id, verifier, expiresMs: Date.now() + 600_000 }, Date.now()));
  const old = await fingerprintOf(anna);
  const next = await askFor(anna);
  await eventually("everybody else has taken it", () => {
    assert.equal(anna.command((store) => store.peers.list()[0]?.tookFingerprint), next);
  });
  assert.equal(await fingerprintOf(anna), old);
  anna.command((store) => store.invites.markUsed(id, "f".repeat(64)));
  await assertChanged(anna, bert, next);
});

Deno.test("rotation: a certificate in the last third of its life is renewed by itself", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  const longAgo = Date.now() - 15 * 365.25 * 86_400_000;
  for (const file of ["key.pem", "cert.pem"]) await Deno.remove(`${anna.folder}/${file}`);
  const aged = await ensureIdentity(anna.folder, "anna", longAgo);
  Object.assign(anna.identity, aged);
  await pair.start();
  await eventually("it is renewed", async () => {
    assert.notEqual(await fingerprintOf(anna), aged.fingerprint);
    const own = (await loadIdentity(anna.folder))!;
    assert(parseCertificate(own.certificatePem).notAfterMs > Date.now() + 19 * 365 * 86_400_000);
    assert.equal(bert.command((store) => store.peers.list()[0]?.fingerprint), own.fingerprint);
  });
  await assertMirrors(pair, "renewed");
});

/** Each leaves homes as a crash would at that point. Anna has asked for a new identity; Bert trusts her old one. */
const CRASHES: Record<string, (anna: Home, bert: Home) => Promise<void>> = {
  "before anybody was told": async (anna) => void await askFor(anna),
  "when the file was there, and the wish not yet": async (anna) => {
    await ensureNextIdentity(anna.folder, "anna");
  },
  "when Bert had taken it, and Anna did not know": async (anna, bert) => {
    await askFor(anna);
    await bertTakes(anna, bert);
  },
  "when Anna knew": async (anna, bert) => {
    const fingerprint = await askFor(anna);
    await bertTakes(anna, bert);
    anna.command((store) => store.peers.markTook(1, fingerprint));
  },
  "between the two files": async (anna, bert) => {
    const fingerprint = await askFor(anna);
    await bertTakes(anna, bert);
    anna.command((store) => store.peers.markTook(1, fingerprint));
    const next = await ensureNextIdentity(anna.folder, "anna");
    await Deno.writeTextFile(`${anna.folder}/key.pem`, next.keyPem);
    await Deno.writeTextFile(`${anna.folder}/key.pem.4e1f.new`, "left behind");
  },
  "before the wish was taken back": async (anna, bert) => {
    await askFor(anna);
    await bertTakes(anna, bert);
    const next = await ensureNextIdentity(anna.folder, "anna");
    const text = await Deno.readTextFile(`${anna.folder}/next.pem`);
    await takeNextIdentity(anna.folder, next);
    await Deno.writeTextFile(`${anna.folder}/next.pem`, text, { mode: 0o600 });
  },
};

async function bertTakes(anna: Home, bert: Home): Promise<void> {
  const { fingerprint, certificatePem } = await ensureNextIdentity(anna.folder, "anna");
  bert.command((store) => store.peers.announceNext(1, { fingerprint, certificatePem }));
}

for (const [when, crash] of Object.entries(CRASHES)) {
  Deno.test(`rotation: cut off ${when}, it goes on, and both find each other`, async () => {
    await using pair = await Pair.make();
    const { anna, bert } = pair;
    bert.trust(anna);
    anna.trust(bert, "127.0.0.1:1");
    await crash(anna, bert);
    const next = await ensureNextIdentity(anna.folder, "anna");
    await bert.start();
    anna.trust(bert, bert.address);
    await anna.start();
    await assertChanged(anna, bert, next.fingerprint);
    await assertMirrors(pair, "after");
    const left = [...Deno.readDirSync(anna.folder)].map(({ name }) => name).filter((name) =>
      name.includes(".pem")
    );
    assert.deepEqual(left.sort(), ["cert.pem", "key.pem"]);
  });
}

Deno.test("rotation: a new key that was not announced is refused, and both sides say what it means", async () => {
  await using pair = await Pair.running();
  const { anna, bert } = pair;
  await assertMirrors(pair, "before");
  await bert.stop();
  for (const file of ["key.pem", "cert.pem"]) await Deno.remove(`${bert.folder}/${file}`);
  await ensureIdentity(bert.folder, "bert");
  await bert.start();
  anna.command((store) => store.peers.add({ ...store.peers.list()[0]!, address: bert.address }));
  await eventually("anna, who dials, says so", () => {
    const reason = anna.running!.status().peers[0]?.reason ?? "";
    assert.match(reason, /new identity that it has not announced/);
    assert.match(reason, /--replaces/);
  });
  bert.command((store) => store.peers.add({ ...store.peers.list()[0]!, address: anna.address }));
  await eventually("bert, who dials with it, says so", () => {
    assert.match(
      bert.running!.status().peers[0]?.reason ?? "",
      /does not trust this peer's certificate.*pair anew/,
    );
  });
  await put(`${anna.watched}/secret`, "not for the new one");
  assert.equal(anna.running!.status().peers[0]?.link, "connecting");
});

type Request = { readonly id: string } & Readonly<Record<string, unknown>>;

/** A peer that speaks frames by hand, with a hello. */
class Talker implements Disposable {
  readonly #reader: FrameReader;

  private constructor(readonly connection: Awaited<ReturnType<TlsNetwork["dial"]>>) {
    this.#reader = new FrameReader(() => connection.read());
  }

  static async link(from: Home, to: Home): Promise<Talker> {
    const network = new TlsNetwork({
      identity: () => from.identity,
      trusted: () => [to.identity],
      clock: new SystemClock(),
    });
    const connection = await network.dial(parseAddress(to.address), null, AbortSignal.timeout(5_000));
    const talker = new Talker(connection);
    const folding = { case: false, unicode: false };
    const hello = {
      version: 1,
      extensions: new Set(EXTENSIONS),
      name: "x",
      process: "x",
      folding,
      windowBytes: 2 ** 23,
    };
    assert.equal((await talker.ask({ id: "hello", action: "hello", ...helloFields(hello) }))["status"], "ok");
    return talker;
  }

  /** The reply to a request. */
  async ask(header: Request): Promise<RawHeader> {
    await this.connection.write(encodeFrame(header, null));
    for (;;) {
      const head = await this.#reader.head();
      assert(head !== null, "the link stays");
      await this.#reader.skip();
      const reply = parseRawHeader(head.headerBytes);
      if (reply["id"] === header.id && reply["status"] !== undefined) return reply;
    }
  }

  [Symbol.dispose](): void {
    this.connection.close();
  }
}

Deno.test("rotation: announcements that prove nothing are refused, and the link stays", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  bert.trust(anna);
  const carl = await createCertificate("carl");
  const carlPrint = parseCertificate(carl.certificatePem).fingerprint;
  bert.command((store) =>
    store.peers.add({ ...carl, name: "carl", fingerprint: carlPrint, address: null, addedMs: 0 })
  );
  await bert.start();
  const next = await createCertificate("anna");
  const { fingerprint } = parseCertificate(next.certificatePem);
  const other = await createCertificate("anna");
  const early = await createCertificate("anna", Date.now() + 3 * 86_400_000);
  const earlyPrint = parseCertificate(early.certificatePem).fingerprint;
  const [from, to] = [anna.identity.fingerprint, bert.identity.fingerprint];
  const sign = (key: string, ...names: [string, string, string]) =>
    signWith(key, rotationStatement(...names));
  const announce = (certificatePem: string, proof: Uint8Array) =>
    announcementHeader(crypto.randomUUID(), { certificatePem, proof });
  using talker = await Talker.link(anna, bert);
  const refused: [string, Request][] = [
    ["bad_certificate", announce(next.certificatePem, sign(other.keyPem, from, fingerprint, to))],
    ["bad_certificate", announce(next.certificatePem, sign(next.keyPem, carlPrint, fingerprint, to))],
    ["bad_certificate", announce(next.certificatePem, sign(next.keyPem, from, fingerprint, carlPrint))],
    ["bad_certificate", announce(next.certificatePem, sign(anna.identity.keyPem, from, fingerprint, to))],
    ["bad_certificate", announce(next.certificatePem, new Uint8Array(70))],
    ["bad_certificate", announce(carl.certificatePem, sign(carl.keyPem, from, carlPrint, to))],
    ["bad_certificate", announce(bert.identity.certificatePem, sign(bert.identity.keyPem, from, to, to))],
    ["bad_certificate", announce(early.certificatePem, sign(early.keyPem, from, earlyPrint, to))],
    ["bad_certificate", announce("-----BEGIN CERTIFICATE-----", new Uint8Array(1))],
    ["bad_header", { id: "a", action: "rotate" }],
    ["bad_header", { id: "b", action: "rotate", certificate: 1, proof: "00" }],
    ["bad_header", { id: "c", action: "rotate", certificate: "", proof: "0" }],
  ];
  for (const [i, [code, header]] of refused.entries()) {
    assert.equal((await talker.ask(header))["code"], code, `announcement ${i}`);
  }
  assert.equal(bert.command((store) => store.peers.byFingerprint(from)?.next), null);
  const good = announce(next.certificatePem, sign(next.keyPem, from, fingerprint, to));
  assert.equal((await talker.ask(good))["status"], "ok");
  assert.equal((await talker.ask({ ...good, id: "again" }))["status"], "ok");
  assert.equal(bert.command((store) => store.peers.byFingerprint(from)?.next?.fingerprint), fingerprint);
});
