import fc from "fast-check";
import assert from "node:assert/strict";
import {
  bearsContent,
  contentLimit,
  idOf,
  isOperation,
  parseOperation,
  parseRawHeader,
} from "../../../src/domain/header.ts";
import { isPeerName } from "../../../src/domain/peer_name.ts";
import { MAX_MADE_BYTES, parsePiece } from "../../../src/receive/piece.ts";
import { FRAME_OVERHEAD_BYTES, MAX_HEADER_BYTES } from "../../../src/wire/frame.ts";
import { FrameReader } from "../../../src/wire/frame_reader.ts";
import { parseHello } from "../../../src/wire/hello.ts";
import {
  MAX_PAIRING_HEADER_BYTES,
  parseChallenge,
  parseConsent,
  parseJoin,
} from "../../../src/wire/pairing.ts";
import { parseAnnouncement } from "../../../src/wire/rotation.ts";
import type { Prng } from "../../simulation/prng.ts";
import { join } from "../../wire/streams.ts";
import { FRAMES } from "../../wire/vectors.ts";
import type { CapturedFrame, Captures } from "./captures.ts";
import { changedFrame, changedJsonBytes } from "./mutate.ts";
import { chanceIn, inPieces, type Target, typed, typedNow } from "./target.ts";

const encoder = new TextEncoder();
/** Content that a reader is asked for in one go; callers check the length first. */
const MAX_RESTED_BYTES = 64 * 1024;

/** What comes off a link: streams of frames, and the headers in them. */
export function wireTargets(captures: Captures, pairing: readonly object[]): Target[] {
  const { frames } = captures;
  const bytes = frames.map((frame) => frame.bytes);
  const headers = (which: (frame: CapturedFrame) => boolean) =>
    frames.filter(which).map((frame) => frame.header);
  const plain = FRAMES.map(({ header }) => encoder.encode(JSON.stringify(header)));
  const operations = [...headers(({ fields }) => isOperation(fields)), ...plain];
  const hellos = headers(({ action }) => action === "hello");
  const pieces = headers(({ action, isReply }) => action === "piece" && !isReply);
  const talks = pairing.map((header) => encoder.encode(JSON.stringify(header)));
  const changed = (of: readonly Uint8Array[]) => (random: Prng) =>
    changedJsonBytes(random.pick(of), random, of);
  return [
    {
      name: "frames of a session",
      share: 130,
      mutated: (random) => {
        const from = random.int(0, frames.length - 1);
        const some = frames.slice(from, from + random.int(1, 5)).filter(({ bytes }) => bytes.length < 8192);
        const parts = some.map((frame) =>
          random.chance(0.6) ? changedFrame(frame, random, bytes) : frame.bytes
        );
        return join(parts);
      },
      arbitrary: fc.array(
        fc.oneof(
          fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
          fc.bigInt({ min: 0n, max: 70_000n }),
          fc.bigInt({ min: 0n, max: 9n }),
        ),
        { maxLength: 5 },
      ).map((all) => new Uint8Array(new BigUint64Array(all).buffer).reverse()),
      read: readStream,
    },
    {
      name: "header",
      share: 130,
      mutated: changed([...frames.map((frame) => frame.header), ...talks]),
      arbitrary: fc.oneof(
        fc.json().map((text) => encoder.encode(text)),
        fc.string({ unit: "binary" }).map((text) => encoder.encode(text)),
        fc.uint8Array({ maxLength: 60 }),
      ),
      read: readAsAnything,
    },
    { name: "operation", share: 110, mutated: changed(operations), read: readOperation },
    { name: "hello", share: 40, mutated: changed(hellos), read: readHello },
    { name: "piece's header", share: 50, mutated: changed(pieces), read: readPiece },
    { name: "pairing's headers", share: 30, mutated: changed(talks), read: readAsAnything },
  ];
}

/** Reads frames to the end in one of the ways in which the program does, and checks what the reader holds. */
async function readStream(input: Uint8Array): Promise<void> {
  const random = chanceIn(input);
  const forPairing = random.chance(0.2);
  const reader = new FrameReader(
    inPieces(input, random),
    forPairing ? MAX_PAIRING_HEADER_BYTES : MAX_HEADER_BYTES,
  );
  await typed(["bad_frame", "link_closed"], async () => {
    let frames = 0;
    for (let head = await reader.head(); head !== null; head = await reader.head()) {
      const { headerBytes, contentBytes } = head;
      assert(++frames * FRAME_OVERHEAD_BYTES <= input.length, "more frames than there can be");
      assert(headerBytes.length <= (forPairing ? MAX_PAIRING_HEADER_BYTES : MAX_HEADER_BYTES));
      assert(Number.isSafeInteger(contentBytes) && contentBytes >= 0 && reader.contentLeft === contentBytes);
      typedNow(["bad_header"], () => parseRawHeader(headerBytes));
      if (contentBytes <= MAX_RESTED_BYTES && random.chance(0.4)) {
        const { bytes, done } = await reader.lend();
        assert.equal(bytes.length, contentBytes);
        done();
      } else if (random.chance(0.5)) {
        let left = contentBytes;
        for (let some = await reader.some(random.int(1, 500)); some !== null; some = await reader.some(500)) {
          assert(some.length > 0 && some.length <= left);
          left -= some.length;
        }
        assert.equal(left, 0);
      } else await reader.skip();
      assert.equal(reader.insideFrame, false);
    }
  });
  assert(reader.bytesRead <= input.length);
}

function headerOf(input: Uint8Array) {
  const header = typedNow(["bad_header"], () => parseRawHeader(input));
  if (header !== null) assert(Object.getPrototypeOf(header) === Object.prototype && !Array.isArray(header));
  return header;
}

/** A header is read by whoever its action says, and a peer chooses that: here by everybody. */
function readAsAnything(input: Uint8Array): void {
  readOperation(input);
  readHello(input);
  readPiece(input);
  const header = headerOf(input);
  if (header === null) return;
  typedNow(["bad_header"], () => {
    const { proof } = parseAnnouncement(header);
    assert(proof.length > 0 && proof.length <= 1024);
  });
  typedNow(["bad_header"], () => assert.equal(parseChallenge(header).length, 32));
  typedNow(["bad_header"], () => {
    const { name, port, invite, proof, signature } = parseJoin(header);
    assert(isPeerName(name) && invite.length === 16 && proof.length === 32 && signature.length <= 1024);
    assert(port === null || (Number.isInteger(port) && port > 0 && port < 65536));
  });
  typedNow(["bad_header"], () => {
    const { name, proof } = parseConsent(header);
    assert(isPeerName(name) && proof.length === 32);
  });
}

function readOperation(input: Uint8Array): void {
  const random = chanceIn(input);
  const header = headerOf(input);
  if (header === null) return;
  const [folders, modes, offer, pieces, moves] = Array.from({ length: 5 }, () => random.chance(0.7));
  const extensions = {
    folders: folders!,
    modes: modes!,
    offer: offer!,
    pieces: pieces!,
    moves: moves!,
  };
  typedNow(["bad_header", "unknown_action", "bad_path", "reserved_name", "name_too_long"], () => {
    const operation = parseOperation(header, extensions);
    assert(isOperation(header) && operation.id === idOf(header) && operation.id.length <= 256);
    assert(Number.isSafeInteger(operation.sizeBytes) && operation.sizeBytes >= 0);
    assert(Number.isSafeInteger(operation.mtimeMs) && operation.sender.length <= 256);
    assert(operation.path.isWellFormed() && !operation.path.split("/").includes(".."));
    assert((operation.action === "move") === (operation.from !== null));
    assert.match(
      operation.hash,
      operation.action !== "delete" && operation.kind === "file" ? /^[0-9a-f]{64}$/ : /^$/,
    );
    assert(!Number.isNaN(contentLimit(operation)) && contentLimit(operation) >= 0);
    if (bearsContent(operation)) assert(operation.kind === "file" && !operation.offer && !operation.pieces);
    assert(Number.isSafeInteger(operation.turn) && operation.turn >= 0, `the turn ${operation.turn}`);
  });
}

function readHello(input: Uint8Array): void {
  const header = headerOf(input);
  if (header === null) return;
  typedNow(["bad_hello"], () => {
    const hello = parseHello(header);
    assert(hello.extensions.size <= 20 && hello.name.length <= 256 && hello.process.length <= 256);
    assert(hello.version >= 1 && Number.isSafeInteger(hello.windowBytes));
    for (const number of [hello.receiveBytesPerSecond ?? 1, hello.timeMs ?? 0]) {
      assert(Number.isFinite(number), `a hello with ${number}`);
    }
  });
}

function readPiece(input: Uint8Array): void {
  const header = headerOf(input);
  if (header === null) return;
  typedNow(["bad_header", "bad_content"], () => {
    const piece = parsePiece(header, chanceIn(input).int(0, 300_000));
    for (const count of [piece.offset, piece.length, piece.turn, piece.rawBytes ?? 0]) {
      assert(Number.isSafeInteger(count) && count >= 0);
    }
    assert(piece.length <= MAX_MADE_BYTES);
  });
}
