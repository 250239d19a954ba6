import fc from "fast-check";
import assert from "node:assert/strict";
import { gunzipSync, gzipSync } from "node:zlib";
import { ChunkList } from "../../../src/chunks/chunk_list.ts";
import { readScript } from "../../../src/chunks/script.ts";
import { GunzipMember } from "../../../src/receive/gunzip_member.ts";
import { MAX_PIECE_BYTES, type Piece, unpackPiece } from "../../../src/receive/piece.ts";
import { parseReport } from "../../../src/verify/finding.ts";
import {
  jsonContent,
  MAX_PATHS,
  parseDamaged,
  parsePaths,
  parseRepaired,
} from "../../../src/verify/exchange.ts";
import {
  bucketOf,
  BUCKETS,
  differingBuckets,
  DIGEST_BYTES,
  parseListing,
} from "../../../src/wire/tree_digest.ts";
import { FrameReader } from "../../../src/wire/frame_reader.ts";
import type { Prng } from "../../simulation/prng.ts";
import { encodeFrame } from "../../wire/streams.ts";
import type { Captures } from "./captures.ts";
import { changedBytes, changedJson, changedJsonBytes, extremeJson } from "./mutate.ts";
import { chanceIn, inPieces, type Target, typed, typedNow } from "./target.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** Bytes of the offset, the length and the base's length before a script. */
const STRETCH_BYTES = 24;

/** The contents of frames: recipes, packed pieces, lists of chunks, listings, what `verify` says. */
export function contentTargets(captures: Captures): Target[] {
  const { packed, chunkLists, listings, json } = captures;
  // A long one costs more and shows nothing that a short one does not.
  const recipes = captures.recipes.map(({ script, stretch }) => ({ script, stretch }));
  const scripts = recipes.map(({ script }) => script);
  const members = [
    ...packed,
    ...[0, 1, 300].map((length) => new Uint8Array(gzipSync(new Uint8Array(length).fill(97)))),
  ]
    .filter(({ length }) => length < 4096);
  const lists = chunkLists.map((list) => list.length > 4096 ? list.slice(0, 4 + 12 * 100) : list);
  const lines = listings.map((listing) => decoder.decode(listing));
  return [
    {
      name: "recipe",
      share: 120,
      mutated: (random) => {
        const { script, stretch } = random.pick(recipes);
        const changed = random.chance(0.9)
          ? changedBytes(shortened(script, random), random, scripts)
          : numbers(random);
        const { offset, length, baseBytes } = stretch;
        const each = (value: number) =>
          random.chance(0.1) ? random.pick([0, 1, 2 ** 26, 2 ** 53 - 1]) : value;
        return withStretch(changed, [each(offset), each(length), each(baseBytes)]);
      },
      arbitrary: fc.tuple(
        fc.uint8Array({ maxLength: 40 }),
        fc.maxSafeNat(),
        fc.nat({ max: 2 ** 26 }),
        fc.maxSafeNat(),
      ).map(([script, offset, length, baseBytes]) => withStretch(script, [offset, length, baseBytes])),
      read: readRecipe,
    },
    {
      name: "piece's packed content",
      share: 30,
      mutated: (random) => changedBytes(random.pick(members), random, members),
      read: readPacked,
    },
    {
      name: "gzip member",
      share: 15,
      mutated: (random) => {
        const member = random.pick(members);
        return random.chance(0.8) ? changedBytes(member, random, members) : oddHeader(member, random);
      },
      read: readMember,
    },
    {
      name: "list of chunks",
      share: 50,
      mutated: (random) => changedBytes(random.pick(lists), random, lists),
      arbitrary: fc.tuple(fc.nat({ max: 30 }), fc.uint8Array({ maxLength: 90 })).map(([bits, rest]) =>
        new Uint8Array([2, bits, 0, 0, ...rest])
      ),
      read: readChunkList,
    },
    {
      name: "listing and digests of a tree",
      share: 50,
      mutated: (random) => {
        const rows = random.pick(lines).split("\n").filter((line) => line !== "");
        const changed = rows.map((line) => random.chance(0.5) ? changedJson(JSON.parse(line), random) : line);
        if (random.chance(0.2)) changed.splice(random.int(0, changed.length), 0, extremeJson(random));
        const bytes = encoder.encode(changed.join("\n") + "\n");
        return random.chance(0.3) ? changedBytes(bytes, random, listings) : bytes;
      },
      arbitrary: fc.array(fc.json(), { maxLength: 4 }).map((all) => encoder.encode(all.join("\n"))),
      read: readListing,
    },
    {
      name: "what verify says",
      share: 50,
      mutated: (random) => changedJsonBytes(random.pick(json), random, json),
      arbitrary: fc.json().map((text) => encoder.encode(text)),
      read: readVerify,
    },
  ];
}

function shortened(script: Uint8Array, random: Prng): Uint8Array {
  return script.length > 1500 && random.chance(0.8) ? script.slice(0, random.int(1, 1500)) : script;
}

/** Nothing but numbers, many of them long. */
function numbers(random: Prng): Uint8Array {
  return random.bytes(random.int(1, 60)).map((byte) => random.chance(0.6) ? byte | 0x80 : byte);
}

function withStretch(script: Uint8Array, numbers: readonly number[]): Uint8Array {
  const input = new Uint8Array(STRETCH_BYTES + script.length);
  const view = new DataView(input.buffer);
  numbers.forEach((number, i) => view.setBigUint64(i * 8, BigInt(number)));
  input.set(script, STRETCH_BYTES);
  return input;
}

/** Works a recipe in as a transfer does, but for the bytes: every step must be within the base and the stretch. */
function readRecipe(input: Uint8Array): void {
  const view = new DataView(input.buffer, input.byteOffset);
  const [offset, length, baseBytes] = [0, 8, 16].map((at) => Number(view.getBigUint64(at)));
  const script = input.subarray(STRETCH_BYTES);
  let made = 0, steps = 0;
  const whole = typedNow(["bad_content"], () => {
    for (const step of readScript(script, { offset: offset!, length: length!, baseBytes: baseBytes! })) {
      assert(++steps <= script.length, "more steps than bytes");
      if (step.kind === "copy") {
        assert(Number.isSafeInteger(step.from) && step.from >= 0 && step.from + step.length <= baseBytes!);
      }
      const count = step.kind === "copy" ? step.length : step.bytes.length;
      assert(Number.isSafeInteger(count) && count > 0);
      made += count;
      assert(made <= length!, "it makes more than its stretch");
    }
    return true;
  });
  if (whole === true) assert.equal(made, length);
}

function readPacked(input: Uint8Array): void {
  const random = chanceIn(input);
  const rawBytes = random.pick([
    0,
    1,
    64,
    300,
    5000,
    65536,
    MAX_PIECE_BYTES,
    MAX_PIECE_BYTES + 1,
    2 ** 53 - 1,
  ]);
  const piece: Piece = {
    ...{ offset: 0, length: 1, turn: 0, digest: null, base: null, bare: false, cutting: null },
    rawBytes: random.chance(0.5) ? lengthOf(input) ?? rawBytes : rawBytes,
  };
  typedNow(["bad_content"], () => {
    const unpacked = unpackPiece(piece, input);
    assert(unpacked.length === piece.rawBytes && unpacked.length <= MAX_PIECE_BYTES);
  });
}

/** What the member's trailer says. */
function lengthOf(member: Uint8Array): number | null {
  if (member.length < 18) return null;
  return new DataView(member.buffer, member.byteOffset).getUint32(member.length - 4, true);
}

/** A member whose header has every optional field. */
function oddHeader(member: Uint8Array, random: Prng): Uint8Array {
  const flags = random.int(0, 255);
  const fields = random.bytes(random.int(0, 40));
  return new Uint8Array([
    ...member.subarray(0, 3),
    flags,
    ...member.subarray(4, 10),
    ...fields,
    ...member.subarray(10),
  ]);
}

async function readMember(input: Uint8Array): Promise<void> {
  const random = chanceIn(input);
  const limit = random.chance(0.7) ? lengthOf(input) ?? 0 : random.pick([0, 1, 300, 100_000]);
  const gunzip = new GunzipMember(limit);
  let produced = 0;
  try {
    await typed(["bad_content"], async () => {
      // Not byte by byte: each slice is a turn of the runtime's thread pool.
      const size = random.pick([50, 500, 5000]);
      for (let at = 0; at < input.length; at += size) {
        for await (const part of gunzip.push(input.subarray(at, at + size))) produced += part.length;
        assert(produced <= limit);
      }
      for (const part of await gunzip.finish()) produced += part.length;
      assert(produced <= limit);
      assert.equal(gunzipSync(input).length, produced, "zlib unpacks it to another length");
    });
  } finally {
    gunzip.close();
  }
}

function readChunkList(input: Uint8Array): void {
  const random = chanceIn(input);
  const list = ChunkList.parse(input);
  if (list === null) return;
  let size = 0;
  for (let i = 0; i < list.count; i++) {
    assert.equal(list.offset(i), size);
    assert(list.length(i) > 0 && list.length(i) <= list.cutting.maxBytes);
    size += list.length(i);
  }
  assert.equal(list.sizeBytes, size);
  const absent = [0, 0, 0, random.int(0, 2 ** 32 - 1)];
  assert(list.find(absent, 1) < list.count);
  if (list.count === 0) return;
  const at = random.int(0, list.count - 1);
  const found = list.find(list.mark(at), list.length(at));
  assert(found >= 0 && found <= at && list.has(found, list.mark(at)));
}

function readListing(input: Uint8Array): void {
  typedNow(["bad_content"], () => {
    for (const { path, state } of parseListing(input)) {
      assert(bucketOf(path) < BUCKETS);
      assert(Number.isSafeInteger(state.sizeBytes) && state.sizeBytes >= 0, `a size of ${state.sizeBytes}`);
      assert(Number.isSafeInteger(state.mtimeMs));
    }
  });
  const digests = new Uint8Array(BUCKETS * DIGEST_BYTES);
  digests.set(input.subarray(0, digests.length));
  assert(differingBuckets(digests, new Uint8Array(digests.length)).length <= BUCKETS);
}

async function readVerify(input: Uint8Array): Promise<void> {
  const reader = new FrameReader(inPieces(encodeFrame({}, input), chanceIn(input)));
  await typed(["bad_content"], async () => {
    await reader.head();
    const value = await jsonContent(reader);
    typedNow(["bad_content"], () => {
      const paths = parsePaths(value);
      assert(paths === null || paths.watched.length <= MAX_PATHS && paths.synced.length <= MAX_PATHS);
    });
    typedNow(["bad_content"], () => assert(parseDamaged(value).length <= MAX_PATHS));
    typedNow(["bad_content"], () => assert(parseRepaired(value).mended.length <= MAX_PATHS));
    parseReport(value);
  });
}
