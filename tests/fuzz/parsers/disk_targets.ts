import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { readFolders, readRunStatus } from "../../../src/cli/run_fact.ts";
import { readSecret } from "../../../src/cli/secret_file.ts";
import { hashSecret } from "../../../src/auth/secrets.ts";
import { parseRelativePath } from "../../../src/domain/relative_path.ts";
import { parseCertificate } from "../../../src/identity/certificate.ts";
import { type Identity, loadIdentity, loadNextIdentity } from "../../../src/identity/identity.ts";
import { isSignedBy } from "../../../src/identity/signature.ts";
import { readRotationFact } from "../../../src/peer/rotation_fact.ts";
import { readJournal } from "../../../src/receive/journal_format.ts";
import { readHeldDeletions } from "../../../src/store/held_deletions.ts";
import { readVerifyFact } from "../../../src/verify/result.ts";
import { Store } from "../../../src/store/store.ts";
import { MemoryTree } from "../../simulation/memory_tree.ts";
import type { Prng } from "../../simulation/prng.ts";
import { join as concatenated } from "../../wire/streams.ts";
import type { Captures } from "./captures.ts";
import { changedBytes, changedJson, changedJsonBytes, changedText } from "./mutate.ts";
import { chanceIn, type Target, typed, typedNow } from "./target.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const HEAD_BYTES = 40;
/** The valid time of the fixed identities. */
const NOW_MS = Date.UTC(2026, 10, 22, 10);

/** What is read back from a disk: journals after a crash, certificates and keys, secrets, and what processes leave for each other. */
export function diskTargets(captures: Captures, identities: readonly Identity[], folder: string): Target[] {
  const journals = captures.journals.map(shortJournal);
  const facts = captures.facts.map((fact) => encoder.encode(JSON.stringify(fact)));
  const certificates = identities.map(({ certificatePem }) => encoder.encode(certificatePem));
  const store = new Store(":memory:");
  return [
    {
      name: "journal",
      share: 60,
      mutated: (random) => changedJournal(random.pick(journals), random),
      read: readJournalFile,
    },
    {
      name: "certificate",
      share: 30,
      mutated: (random) => {
        const pem = random.pick(certificates);
        return random.chance(0.5)
          ? changedBytes(pem, random, certificates)
          : encoder.encode(changedCertificate(decoder.decode(pem), random));
      },
      read: readCertificate,
    },
    {
      name: "key and certificate files",
      share: 0.5,
      mutated: (random) => {
        const { certificatePem, keyPem } = random.pick(identities);
        const other = random.pick(identities);
        const parts = [certificatePem, random.chance(0.8) ? keyPem : other.keyPem];
        const at = random.int(0, 1);
        parts[at] = at === 0 && random.chance(0.5)
          ? changedCertificate(parts[at]!, random)
          : changedText(parts[at]!, random, [other.certificatePem, other.keyPem]);
        return encoder.encode(parts.join("\f"));
      },
      read: (input) => readIdentityFiles(folder, input),
    },
    {
      name: "secret file",
      share: 1,
      mutated: (random) => changedBytes(encoder.encode(`mirrorsync_${random.bytes(32).toHex()}\n`), random),
      read: (input) => readSecretFile(folder, store, input),
    },
    {
      name: "facts between processes",
      share: 30,
      mutated: (random) => changedJsonBytes(random.pick(facts), random, facts),
      read: (input) => readFacts(store, input),
    },
  ];
}

/** The first lump of a journal with its first few entries, so that thousands of them cost little. */
function shortJournal(journal: Uint8Array): Uint8Array {
  const { entries, contents } = firstLump(journal);
  const kept = entries.slice(0, 5);
  const bytes = kept.reduce((sum, entry) => sum + entry[3]!, 0);
  return new Uint8Array([...lumpHead(JSON.stringify(kept)), ...contents.subarray(0, bytes)]);
}

function firstLump(journal: Uint8Array): { entries: number[][]; contents: Uint8Array } {
  const length = Number(new DataView(journal.buffer, journal.byteOffset).getBigUint64(0));
  return {
    entries: JSON.parse(decoder.decode(journal.subarray(HEAD_BYTES, HEAD_BYTES + length))) as number[][],
    contents: journal.subarray(HEAD_BYTES + length),
  };
}

/** Length and SHA-256 before an index, and the index. */
function lumpHead(index: string): Uint8Array {
  const bytes = encoder.encode(index);
  const head = new Uint8Array(HEAD_BYTES + bytes.length);
  new DataView(head.buffer).setBigUint64(0, BigInt(bytes.length));
  head.set(createHash("sha256").update(bytes).digest(), 8);
  head.set(bytes, HEAD_BYTES);
  return head;
}

/** A journal that a crash or a failing disk has changed, or whose index somebody has changed and signed anew. */
export function changedJournal(journal: Uint8Array, random: Prng): Uint8Array {
  if (random.chance(0.5)) {
    const twice = random.chance(0.3) ? concatenated([journal, journal]) : journal;
    return changedBytes(twice, random);
  }
  const { entries, contents } = firstLump(journal);
  const head = lumpHead(changedJson(entries, random));
  return concatenated([head, random.chance(0.2) ? changedBytes(contents, random) : contents]);
}

async function readJournalFile(input: Uint8Array): Promise<void> {
  const tree = new MemoryTree({ root: "/journals", now: () => NOW_MS });
  tree.save("journal", input);
  const file = await tree.openRead("journal");
  let entries = 0;
  for await (const { entry, lumpEnd, content } of readJournal(file)) {
    assert(++entries <= input.length, "more entries than bytes");
    assert(Number.isSafeInteger(lumpEnd) && lumpEnd >= HEAD_BYTES, `a lump that ends at ${lumpEnd}`);
    const { peer, path, aside, state } = entry;
    assert(Number.isSafeInteger(peer), `the peer ${peer}`);
    assert.equal(parseRelativePath(path), path);
    assert(
      /^\.mirrorsync-staging\/old-[^/]*$/.test(aside) && !aside.includes("\0"),
      `the name ${JSON.stringify(aside)}`,
    );
    assert(Number.isSafeInteger(state.sizeBytes) && state.sizeBytes >= 0 && state.sizeBytes <= 256 * 1024);
    assert(Number.isSafeInteger(state.mtimeMs), `the time ${state.mtimeMs}`);
    assert.match(state.hash, /^[0-9a-f]{64}$/);
    const bytes = await content();
    if (bytes !== null) assert.equal(bytes.length, state.sizeBytes);
  }
  file.close();
}

/** A certificate whose bytes inside the PEM were changed. */
function changedCertificate(pem: string, random: Prng): string {
  const body = pem.replaceAll(/-----[^-]*-----|\s/g, "");
  const der = changedBytes(Uint8Array.fromBase64(body), random);
  // With a right outer length, mostly: else nobody looks any further.
  if (der.length > 4 && der[0] === 0x30 && der[1] === 0x82 && random.chance(0.7)) {
    new DataView(der.buffer).setUint16(2, der.length - 4);
  } else if (der.length > 3 && der[0] === 0x30 && der[1] === 0x81 && der.length < 259) {
    der[2] = der.length - 3;
  }
  return `-----BEGIN CERTIFICATE-----\n${der.toBase64()}\n-----END CERTIFICATE-----\n`;
}

function readCertificate(input: Uint8Array): void {
  const random = chanceIn(input);
  typedNow(["bad_certificate"], () => {
    const certificate = parseCertificate(decoder.decode(input), { nowMs: NOW_MS });
    assert.match(certificate.fingerprint, /^[0-9a-f]{64}$/);
    assert(Number.isFinite(certificate.notBeforeMs) && Number.isFinite(certificate.notAfterMs));
    assert.equal(parseCertificate(certificate.pem, { nowMs: NOW_MS }).fingerprint, certificate.fingerprint);
    // Whoever shows a certificate signs something with its key next.
    assert.equal(
      isSignedBy(certificate.pem, random.bytes(40), random.bytes(random.pick([0, 64, 70]))),
      false,
    );
  });
}

async function readIdentityFiles(folder: string, input: Uint8Array): Promise<void> {
  const [certificatePem, keyPem = ""] = decoder.decode(input).split("\f");
  const home = join(folder, "identity");
  await Deno.mkdir(home, { recursive: true });
  const mode = { mode: 0o600 };
  await Deno.writeTextFile(join(home, "cert.pem"), certificatePem!, mode);
  await Deno.writeTextFile(join(home, "key.pem"), keyPem, mode);
  await Deno.writeTextFile(join(home, "next.pem"), certificatePem! + keyPem, mode);
  for (const load of [loadIdentity, loadNextIdentity]) {
    await typed(["bad_certificate", "unsafe_permissions"], async () => {
      const identity = await load(home, NOW_MS);
      assert.match(identity?.fingerprint ?? "", /^[0-9a-f]{64}$/);
    });
  }
}

async function readSecretFile(folder: string, store: Store, input: Uint8Array): Promise<void> {
  const path = join(folder, "session");
  await Deno.writeFile(path, input, { mode: 0o600 });
  const secret = await typed(["failed"], () => readSecret(path, "logout"));
  if (secret === null) return;
  assert(secret !== "" && secret.length <= 256 && secret.trim() === secret);
  assert.equal(store.tokens.byHash(hashSecret(secret)), null);
  assert.equal(store.sessions.get(hashSecret(secret)), null);
}

/** Facts are read by a process of another version, perhaps. */
function readFacts(store: Store, input: Uint8Array): void {
  let fact: unknown;
  try {
    fact = JSON.parse(decoder.decode(input));
  } catch {
    return; // only JSON is ever stored there
  }
  readVerifyFact(fact);
  readRunStatus(fact);
  readFolders(fact);
  readRotationFact(fact);
  store.facts.set("guard/1", fact);
  readHeldDeletions(store, 1);
}
