import fc from "fast-check";
import assert from "node:assert/strict";
import {
  contentLimit,
  idOf,
  isOperation,
  parseOperation,
  parseRawHeader,
  type RawHeader,
} from "../../src/domain/header.ts";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { formatTimestamp, parseTimestamp } from "../../src/domain/timestamp.ts";
import { GunzipMember } from "../../src/receive/gunzip_member.ts";
import { MAX_HEADER_BYTES } from "../../src/wire/frame.ts";
import { FrameReader } from "../../src/wire/frame_reader.ts";
import { parseHello } from "../../src/wire/hello.ts";
import { bucketOf, entryLine, parseListing, type TreeEntry } from "../../src/wire/tree_digest.ts";
import { encodeFrame, join } from "../wire/streams.ts";
import { FRAMES, TREE } from "../wire/vectors.ts";
import { check, nastyPath, pieces } from "./fuzz.ts";

const EXTENSIONS = fc.record({
  folders: fc.boolean(),
  modes: fc.boolean(),
  offer: fc.boolean(),
  pieces: fc.boolean(),
  moves: fc.boolean(),
});
const cuts = fc.array(fc.nat(), { maxLength: 8 });

/** Runs `work`; whatever it throws must be a `MirrorError` with one of the codes. */
async function onlyThrows(codes: readonly string[], work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    assert(error instanceof MirrorError, error instanceof Error ? error.stack : String(error));
    assert(codes.includes(error.code), `${error.code}: ${error.message}`);
  }
}

/** A header that is nearly right: a good one with some fields changed, or anything at all. */
const nearHeader: fc.Arbitrary<RawHeader> = fc.oneof(
  fc.tuple(
    fc.constantFrom(...FRAMES.map(({ header }) => header)),
    fc.dictionary(
      fc.constantFrom(
        ...[
          "id",
          "action",
          "path",
          "timestamp",
          "size",
          "hash",
          "sender",
          "compressed",
          "kind",
          "executable",
        ],
        ...[
          "offer",
          "pieces",
          "offset",
          "extensions",
          "version",
          "window",
          "folds",
          "name",
          "process",
          "__proto__",
        ],
      ),
      fc.oneof(
        fc.jsonValue({ maxDepth: 2 }),
        nastyPath,
        fc.double(),
        fc.maxSafeInteger(),
        fc.constantFrom(
          "create",
          "update",
          "delete",
          "file",
          "folder",
          "f".repeat(64),
          "2026-11-22T10:00:00Z",
        ),
      ),
      { maxKeys: 3 },
    ),
  ).map(([good, changes]) => ({ ...good, ...changes })),
  fc.dictionary(fc.string(), fc.jsonValue()),
);

Deno.test("out of an operation's header comes an operation that cannot be wrong, or a typed refusal", async () => {
  let taken = 0;
  const codes = ["bad_header", "unknown_action", "bad_path", "reserved_name", "name_too_long"];
  await check(
    fc.asyncProperty(nearHeader, EXTENSIONS, async (header, extensions) => {
      await onlyThrows(codes, () => {
        const operation = parseOperation(header, extensions);
        taken++;
        assert(isOperation(header));
        assert.equal(operation.id, idOf(header));
        assert(Number.isSafeInteger(operation.sizeBytes) && operation.sizeBytes >= 0);
        assert(Number.isSafeInteger(operation.mtimeMs));
        const bears = operation.action !== "delete" && operation.kind === "file";
        assert.match(operation.hash, bears ? /^[0-9a-f]{64}$/ : /^$/);
        assert(contentLimit(operation) >= 0);
        assert(operation.kind === "file" || extensions.folders);
        assert(operation.executable === null || extensions.modes);
        assert(!operation.offer || extensions.offer);
        assert(!operation.pieces || extensions.pieces);
      });
    }),
    6_000,
  );
  assert(taken > 150, `only ${taken} headers were accepted`);
});

Deno.test("out of a hello comes a hello or bad_hello", async () => {
  await check(
    fc.asyncProperty(nearHeader, async (header) => {
      await onlyThrows(["bad_hello"], () => parseHello(header));
    }),
    2_000,
  );
});

Deno.test("out of any bytes of a header comes an object or bad_header", async () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.json().map((text) => new TextEncoder().encode(text)),
    fc.string({ unit: "binary" }).map((text) => new TextEncoder().encode(text)),
  );
  await check(
    fc.asyncProperty(bytes, async (input) => {
      await onlyThrows(["bad_header"], () => {
        const header = parseRawHeader(input);
        assert(typeof header === "object" && header !== null && !Array.isArray(header));
      });
    }),
    3_000,
  );
});

/** Reads frames to the end, as a link does; gives what was read. */
async function readAll(source: () => Promise<Uint8Array | null>) {
  const reader = new FrameReader(source);
  const found: Array<{ header: string; content: string }> = [];
  for (;;) {
    const head = await reader.head();
    if (head === null) return found;
    assert(head.headerBytes.length <= MAX_HEADER_BYTES && Number.isSafeInteger(head.contentBytes));
    const header = head.headerBytes.toHex();
    const content: Uint8Array[] = [];
    for (let some = await reader.some(10); some !== null; some = await reader.some(10)) {
      content.push(some.slice());
    }
    found.push({ header, content: join(content).toHex() });
  }
}

Deno.test("whatever is written as frames is read as the same frames, however the stream is cut", async () => {
  const frame = fc.tuple(fc.dictionary(fc.string(), fc.jsonValue()), fc.uint8Array({ maxLength: 40 }));
  await check(
    fc.asyncProperty(fc.array(frame, { maxLength: 5 }), cuts, async (frames, places) => {
      const bytes = join(frames.map(([header, content]) => encodeFrame(header, content)));
      const read = await readAll(pieces(bytes, places));
      assert.deepEqual(
        read,
        frames.map(([header, content]) => ({
          header: new TextEncoder().encode(JSON.stringify(header)).toHex(),
          content: content.toHex(),
        })),
      );
    }),
    1_500,
  );
});

Deno.test("any stream is read as frames, or refused as bad_frame or link_closed", async () => {
  const damaged = fc.tuple(
    fc.constantFrom(...FRAMES.map(({ bytes }) => bytes)),
    fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 3 }),
    fc.nat({ max: 1000 }),
  ).map(([hex, changes, cut]) => {
    const bytes = Uint8Array.fromHex(hex);
    for (const [at, value] of changes) bytes[at % bytes.length] = value;
    return bytes.subarray(0, cut);
  });
  const lengths = fc.array(
    fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 0n, max: 70_000n })),
    { maxLength: 4 },
  ).map((all) => new Uint8Array(new BigUint64Array(all).buffer).reverse());
  await check(
    fc.asyncProperty(
      fc.oneof(damaged, lengths, fc.uint8Array({ maxLength: 100 })),
      cuts,
      async (bytes, places) => {
        await onlyThrows(["bad_frame", "link_closed"], () => readAll(pieces(bytes, places)));
      },
    ),
    3_000,
  );
});

Deno.test("timestamps come back as they were written", async () => {
  const ms = fc.integer({ min: -62167219200000, max: 253402300799999 });
  await check(fc.property(ms, (time) => assert.equal(parseTimestamp(formatTimestamp(time)), time)), 1_000);
});

Deno.test("a listing's lines come back as they were written; other lines are bad_content", async () => {
  const entry = fc.record({
    path: nastyPath,
    kind: fc.constantFrom("file", "folder"),
    size: fc.maxSafeNat(),
    mtime: fc.maxSafeInteger(),
    executable: fc.boolean(),
  });
  await check(
    fc.asyncProperty(fc.array(entry, { maxLength: 3 }), async (drafts) => {
      const entries = drafts.map((d): TreeEntry => ({
        path: d.path as RelativePath,
        state: {
          kind: d.kind as "file" | "folder",
          sizeBytes: d.size,
          mtimeMs: d.mtime,
          executable: d.executable,
          hash: "",
        },
      }));
      for (const { path } of entries) assert(bucketOf(path) >= 0 && bucketOf(path) < 256);
      const lines = entries.map((e) => entryLine(e) + "\n");
      for (const line of lines) assert.equal(line.indexOf("\n"), line.length - 1);
      await onlyThrows(["bad_content"], () => {
        assert.deepEqual(parseListing(new TextEncoder().encode(lines.join(""))), entries);
      });
    }),
    1_500,
  );
  const good = Uint8Array.fromHex(TREE.listing.bytes);
  await check(
    fc.asyncProperty(fc.nat(), fc.nat({ max: 255 }), async (at, value) => {
      const bytes = good.slice();
      bytes[at % bytes.length] = value;
      await onlyThrows(["bad_content"], () => parseListing(bytes));
    }),
    1_000,
  );
});

Deno.test("a gzip member with any change to it unpacks to the same bytes, or is bad_content", async () => {
  const vector = FRAMES.find(({ name }) => name === "create-compressed")!;
  const good = Uint8Array.fromHex(vector.content);
  await check(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 2 }),
      fc.uint8Array({ maxLength: 3 }),
      cuts,
      async (changes, tail, places) => {
        const bytes = join([good, tail]);
        for (const [at, value] of changes) bytes[at % good.length] = value;
        const gunzip = new GunzipMember(280);
        try {
          await onlyThrows(["bad_content"], async () => {
            const source = pieces(bytes, places);
            const parts: Uint8Array[] = [];
            for (let some = await source(); some !== null; some = await source()) {
              for await (const part of gunzip.push(some)) parts.push(part);
            }
            parts.push(...await gunzip.finish());
            assert.equal(join(parts).toHex(), vector.unpacked);
            assert.equal(tail.length, 0);
          });
        } finally {
          gunzip.close();
        }
      },
    ),
    500,
  );
});
