import assert from "node:assert/strict";
import { parseRawHeader } from "../../src/domain/header.ts";
import { isPermanentRefusal } from "../../src/domain/mirror_error.ts";
import { MAX_PATH_BYTES, MAX_PATH_PARTS, STAGING_FOLDER } from "../../src/domain/relative_path.ts";
import { FRAME_COST_BYTES } from "../../src/link/credit.ts";
import { DEFAULT_PORT } from "../../src/link/address.ts";
import { HANDSHAKE_DEADLINE_MS } from "../../src/link/tls_listener.ts";
import { MAX_HEADER_BYTES } from "../../src/wire/frame.ts";
import { EXTENSIONS, PROTOCOL_VERSION } from "../../src/wire/hello.ts";
import { BUCKETS, entryLine, parseListing, rootDigest, treeDigests } from "../../src/wire/tree_digest.ts";
import { encodeFrame } from "./streams.ts";
import { MAX_PAIRING_HEADER_BYTES, PAIRING_PREFACE } from "../../src/wire/pairing.ts";
import pairing from "../vectors/pairing.json" with { type: "json" };
import { FRAMES, frameVector, namedBytes, TREE } from "./vectors.ts";

const DOCUMENT = await Deno.readTextFile(new URL("../../docs/PROTOCOL.md", import.meta.url));
const SOURCE = new URL("../../src/", import.meta.url);

/** The hex blocks of the document, by name. */
function hexBlocks(): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, name, hex] of DOCUMENT.matchAll(/^```hex ([\w-]+)\n([\s\S]*?)^```$/gm)) {
    assert(!found.has(name!), `${name} is shown twice`);
    assert.match(hex!, /^[0-9a-f \n]+$/, name);
    found.set(name!, hex!.replaceAll(/\s/g, ""));
  }
  return found;
}

/** The rows of the table whose head begins with `first`, as cells. */
function table(first: string): string[][] {
  const lines = DOCUMENT.split("\n");
  const head = lines.findIndex((line) => new RegExp(`^\\| ${first} +\\|`).test(line));
  assert(head >= 0, `there is a table of ${first}`);
  const rows: string[][] = [];
  for (let at = head + 2; lines[at]?.startsWith("|"); at++) {
    rows.push(lines[at]!.split("|").slice(1, -1).map((cell) => cell.trim()));
  }
  return rows;
}

Deno.test("the document shows every vector, and shows it byte for byte", () => {
  assert.deepEqual(Object.fromEntries(hexBlocks()), Object.fromEntries(namedBytes()));
  assert(!/^ *```hex(?! [\w-]+$)/m.test(DOCUMENT), "every hex block has a name");
});

Deno.test("the document's blocks are what the code writes", () => {
  const blocks = hexBlocks();
  for (const { name, content } of FRAMES) {
    const hex = blocks.get(name)!;
    const headerBytes = parseInt(hex.slice(0, 16), 16);
    const header = parseRawHeader(Uint8Array.fromHex(hex.slice(16, 16 + 2 * headerBytes)));
    assert.equal(encodeFrame(header, Uint8Array.fromHex(content)).toHex(), hex, name);
  }
  for (const { name, line } of TREE.entries) {
    const hex = blocks.get(name)!;
    const [entry] = parseListing(Uint8Array.fromHex(hex));
    assert.equal(new TextEncoder().encode(entryLine(entry!) + "\n").toHex(), hex, name);
    assert(DOCUMENT.includes(line.trimEnd()), name);
  }
});

Deno.test("the document's tree has the digests that it says", () => {
  const lines = TREE.entries.map(({ name }) => hexBlocks().get(name)!).join("");
  const digests = treeDigests(parseListing(Uint8Array.fromHex(lines)));
  assert(DOCUMENT.includes(`\`${rootDigest(digests)}\``));
  assert(DOCUMENT.includes(`\`${rootDigest(treeDigests([]))}\``));
  const shown = table("bucket");
  for (const [bucket, digest] of shown) {
    const at = Number(bucket) * 32;
    assert.equal(`\`${digests.subarray(at, at + 32).toHex()}\``, digest, `bucket ${bucket}`);
  }
  const filled = Array.from({ length: BUCKETS }, (_, b) => digests.subarray(b * 32, b * 32 + 32));
  assert.equal(shown.length, filled.filter((digest) => digest.some((byte) => byte !== 0)).length);
});

Deno.test("the document's header of `create` in words is the one of its block", () => {
  const json = /```json\n([\s\S]*?)\n```/.exec(DOCUMENT)?.[1];
  assert.deepEqual(JSON.parse(json!), frameVector("create").header);
  const length = parseInt(frameVector("create").bytes.slice(0, 16), 16);
  assert(DOCUMENT.includes(`a header length of ${length},`));
});

Deno.test("the document's codes are those of the code, and permanent where it says so", async () => {
  const source = await Deno.readTextFile(new URL("domain/mirror_error.ts", SOURCE));
  const codes = [...source.slice(0, source.indexOf(";")).matchAll(/\| "(\w+)"/g)].map((match) => match[1]!);
  const rows = table("code");
  const shown = new Map(rows.map(([code, permanent]) => [code!.replaceAll("`", ""), permanent]));
  assert.equal(shown.size, rows.length);
  for (const [code, permanent] of shown) {
    assert(codes.includes(code), code);
    assert.equal(permanent, isPermanentRefusal(code) ? "yes" : "no", code);
  }
  // What a receiver answers for an operation stands first in the list of codes: all of it is in the document.
  const answers = codes.slice(0, codes.indexOf("bad_frame") + 1);
  for (const code of answers) assert(shown.has(code), `${code} is missing in the document`);
  for (const code of codes) {
    // `unicode_twin` is what a sender finds out by itself.
    if (isPermanentRefusal(code) && code !== "unicode_twin") assert(shown.has(code), code);
  }
});

Deno.test("the document's invite, proofs and announcement are those of the vectors", () => {
  const { invite, proofs, rotation } = pairing;
  assert(DOCUMENT.includes(`\`${rotation.next}\``));
  assert.equal(frameVector("rotate").header["proof"], rotation.proof);
  for (const value of [invite.fingerprint, invite.id, invite.secret, ...invite.addresses]) {
    assert(DOCUMENT.includes(`\`${value}\``), value);
  }
  assert(DOCUMENT.includes(`\n${invite.line}\n`));
  assert.equal(frameVector("pairing-challenge").header["nonce"], proofs.nonce);
  assert.equal(frameVector("pairing-consent").header["proof"], proofs.inviterProof);
  const shown = new Map(table("value").map(([what, hex]) => [what, hex]));
  assert.equal(shown.get("joiner"), `\`${proofs.joiner}\``);
  assert.equal(shown.get("stored key"), `\`${proofs.storedKey}\``);
  assert.equal(shown.get("reply key"), `\`${proofs.replyKey}\``);
  assert.equal(shown.get("joiner's proof"), `\`${proofs.joinerProof}\``);
  assert.equal(shown.get("inviter's proof"), `\`${proofs.inviterProof}\``);
});

Deno.test("the document's names and numbers are those of the code", async () => {
  const listed = /The extensions are ([^.]+)\./.exec(DOCUMENT.replaceAll("\n", " "))?.[1];
  assert.deepEqual([...listed!.matchAll(/`(\w+)`/g)].map((match) => match[1]), [...EXTENSIONS]);
  assert(DOCUMENT.startsWith(`# The MirrorSync protocol, version ${PROTOCOL_VERSION}\n`));

  const limits = new Map(table("limit").map(([what, value]) => [what, value]));
  assert.equal(limits.get("header"), `${MAX_HEADER_BYTES} bytes`);
  assert.equal(limits.get("`path`"), `${MAX_PATH_BYTES} bytes of UTF-8`);
  assert.equal(limits.get("parts of a `path` (names between `/`)"), String(MAX_PATH_PARTS));

  const text = DOCUMENT.replaceAll(/\s+/g, " ");
  for (
    const words of [
      `listens on ${DEFAULT_PORT} `,
      `handshake may take ${HANDSHAKE_DEADLINE_MS / 1000} s`,
      `bytes of its content + ${FRAME_COST_BYTES}**`,
      `There are ${BUCKETS}.`,
      `headers of at most ${MAX_PAIRING_HEADER_BYTES} bytes`,
      `(\`${PAIRING_PREFACE.toHex().replaceAll(/(..)(?=.)/g, "$1 ")}\`)`,
      `\`${STAGING_FOLDER}\``,
    ]
  ) assert(text.includes(words), words);

  // Numbers that the code keeps to itself, read from its text: whoever changes one is sent here.
  const kept: Array<[file: string, line: string]> = [
    ["link/link.ts", "const TICK_MS = 3_000;"],
    ["link/link.ts", "const DEAD_TICKS = 5;"],
    ["link/link.ts", "const STALLED_TICKS = 10;"],
    ["link/link.ts", "const MAX_SKIPPED_BYTES = 256 * 1024 * 1024;"],
    ["link/link.ts", "const MAX_REPLY_BYTES = 64 * 1024 * 1024;"],
    ["link/link.ts", "const GRANT_BYTES = 256 * 1024;"],
    ["link/link_manager.ts", "const HELLO_DEADLINE_MS = 10_000;"],
    ["link/link_manager.ts", "const STILL_THERE_MS = 2_000;"],
    ["link/link_manager.ts", "const MAX_PLAIN_LINKS = 16;"],
    ["link/credit.ts", "const RESERVE_BYTES = 1024 * 1024;"],
    ["link/pairing_listener.ts", "const DEADLINE_MS = 10_000;"],
    ["link/pairing_listener.ts", "const MAX_CONVERSATIONS = 8;"],
    ["link/pairing_listener.ts", "const BURST = 40;"],
    ["link/pairing_listener.ts", "const PER_SECOND = 5;"],
    ["store/invites.ts", "const MAX_WRONG_TRIES = 5;"],
    ["wire/hello.ts", "const MIN_WINDOW_BYTES = 1024 * 1024;"],
    ["receive/receiver.ts", "const MAX_UNANSWERED_PLAIN = 64;"],
    ["send/deliver_file.ts", "const PIECE_BYTES = 256 * 1024;"],
    ["send/deliver_file.ts", "const WORTH_COMPRESSING = 0.9;"],
    ["send/compare_trees.ts", "const ENTRIES_PER_LISTING = 100_000;"],
    ["send/sender.ts", "const MAX_IN_FLIGHT = 1024;"],
    ["send/sender.ts", "const MAX_LARGE = 2;"],
  ];
  for (const [file, line] of kept) {
    const source = await Deno.readTextFile(new URL(file, SOURCE));
    assert(source.includes(line), `src/${file} no longer has \`${line}\`: docs/PROTOCOL.md says so too`);
  }
});

Deno.test("links inside the document lead somewhere", async () => {
  for (const [, target] of DOCUMENT.matchAll(/\]\(([^)#]+)\)/g)) {
    await Deno.stat(new URL(target!, new URL("../../docs/PROTOCOL.md", import.meta.url)));
  }
});
