import assert from "node:assert/strict";
import {
  contentLimit,
  type HeaderExtensions,
  idOf,
  isOperation,
  NO_EXTENSIONS,
  parseOperation,
  parseRawHeader,
  type RawHeader,
} from "../../src/domain/header.ts";
import { MirrorError } from "../../src/domain/mirror_error.ts";

const ALL: HeaderExtensions = { folders: true, modes: true, offer: true, pieces: true, moves: true };
const HASH = "0123456789abcdef".repeat(4);
const HEADER: RawHeader = {
  id: "3f1c0d5e-8a44-4c1b-9b57-000000000001",
  action: "create",
  path: "a/b.txt",
  timestamp: "2026-11-22T10:00:00.123Z",
  size: 15,
  hash: HASH,
  sender: "anna",
  compressed: false,
};
const without = (header: RawHeader, field: string): RawHeader =>
  Object.fromEntries(Object.entries(header).filter(([key]) => key !== field));
const bytes = (text: string) => new TextEncoder().encode(text);

function refuses(header: RawHeader, code: string, word = "", extensions = ALL): void {
  assert.throws(
    () => parseOperation(header, extensions),
    (error) => error instanceof MirrorError && error.code === code && error.message.includes(word),
    `${JSON.stringify(header)} should be refused as ${code} ${word}`,
  );
}

Deno.test("bytes that are no JSON object", () => {
  const texts = [
    "",
    `\ufeff${JSON.stringify(HEADER)}`,
    " ",
    "x",
    "{",
    '{"a":1',
    "{'a':1}",
    "{}{}",
    "null",
    "[]",
    "[{}]",
    "1",
    '"a"',
    "true",
    '{"a":NaN}',
  ];
  const notText = [[0xff], [0x7b, 0x22, 0xc3, 0x22, 0x3a, 0x31, 0x7d], [0x22, 0xed, 0xa0, 0x80, 0x22]];
  for (const input of [...texts.map(bytes), ...notText.map((b) => Uint8Array.from(b))]) {
    assert.throws(
      () => parseRawHeader(input),
      (error) => error instanceof MirrorError && error.code === "bad_header",
    );
  }
  assert.deepEqual(parseRawHeader(bytes(' {"a" : 1}\n')), { a: 1 });
});

Deno.test("every field that is missing is named", () => {
  for (const field of ["action", "id", "path", "timestamp", "size", "hash", "sender", "compressed"]) {
    refuses(without(HEADER, field), "bad_header", `"${field}"`);
  }
});

Deno.test("every field that is mistyped is named", () => {
  const wrong: Record<string, unknown[]> = {
    action: [null, 1, {}, ["create"]],
    id: [null, 1, "", "x".repeat(257), {}],
    path: [null, 1, ["a"], {}],
    timestamp: [null, 1795341600123, "yesterday", ""],
    size: [null, "15", -1, 1.5, 2 ** 53, 1e300, {}],
    hash: [null, 1, "", HASH.slice(1), HASH + "0", "g" + HASH.slice(1), ` ${HASH}`, `${HASH}\n`],
    sender: [null, 1, {}, "x".repeat(257)],
    compressed: [null, 0, "false", {}],
    kind: [1, "symlink", "", {}, "Folder"],
    executable: [1, "true", {}],
    offer: [1, "true", {}],
    pieces: [1, "true", {}],
  };
  for (const [field, values] of Object.entries(wrong)) {
    for (const value of values) refuses({ ...HEADER, [field]: value }, "bad_header", `"${field}"`);
  }
});

Deno.test("actions that are not known, and paths that are not accepted, have codes of their own", () => {
  for (const action of ["", "Create", "Move", "piece", "constructor", "__proto__", "x".repeat(10_000)]) {
    refuses({ ...HEADER, action }, "unknown_action");
    assert.equal(isOperation({ action }), false);
  }
  assert.throws(
    () => parseOperation({ ...HEADER, action: "move", from: "b" }, NO_EXTENSIONS),
    (error) => error instanceof MirrorError && error.code === "unknown_action",
  );
  refuses({ ...HEADER, action: "move" }, "bad_header", '"from"');
  refuses({ ...HEADER, action: "move", from: "../b" }, "bad_path");
  refuses({ ...HEADER, path: "../a" }, "bad_path");
  refuses({ ...HEADER, path: ".mirrorsync-staging/a" }, "reserved_name");
  refuses({ ...HEADER, path: "x".repeat(5000) }, "name_too_long");
});

Deno.test("what an operation says", () => {
  const expected = {
    id: HEADER["id"],
    action: "create",
    path: "a/b.txt",
    from: null,
    mtimeMs: Date.UTC(2026, 10, 22, 10, 0, 0, 123),
    sizeBytes: 15,
    hash: HASH,
    sender: "anna",
    compressed: false,
    kind: "file",
    executable: null,
    offer: false,
    pieces: false,
    turn: 0,
  };
  assert.deepEqual(parseOperation(HEADER, ALL), expected);
  assert.deepEqual(parseOperation({ ...HEADER, colour: "blue", mode: 7 }, ALL), expected);
  assert.deepEqual(parseOperation({ ...HEADER, hash: HASH.toUpperCase() }, ALL), expected);
  assert.deepEqual(parseOperation({ ...HEADER, action: "update" }, ALL), { ...expected, action: "update" });
  assert.deepEqual(
    parseOperation({ ...HEADER, executable: true, pieces: true, kind: "file" }, ALL),
    { ...expected, executable: true, pieces: true },
  );
});

Deno.test("an operation without content cannot be compressed, and is offered or comes in pieces, not both", () => {
  refuses({ ...HEADER, offer: true, pieces: true }, "bad_header", '"offer" and "pieces"');
  for (const more of [{ offer: true }, { pieces: true }]) {
    refuses({ ...HEADER, ...more, compressed: true }, "bad_header", '"compressed"');
  }
});

Deno.test("an extension's field means nothing on a link without the extension, whatever its value", () => {
  const plain = parseOperation(HEADER, NO_EXTENSIONS);
  for (const more of [{ kind: "folder" }, { executable: true }, { offer: true }, { pieces: true }]) {
    assert.deepEqual(parseOperation({ ...HEADER, ...more }, NO_EXTENSIONS), plain);
  }
  assert.deepEqual(
    parseOperation({ ...HEADER, kind: 1, executable: 1, offer: 1, pieces: 1 }, NO_EXTENSIONS),
    plain,
  );
});

Deno.test("null stands for an extension's field that is not there", () => {
  const nulls = { ...HEADER, kind: null, executable: null, offer: null, pieces: null };
  assert.deepEqual(parseOperation(nulls, ALL), parseOperation(HEADER, ALL));
});

Deno.test("deletions and folders need no size, hash or compressed, and ignore them", () => {
  for (const more of [{ action: "delete" }, { kind: "folder" }, { action: "delete", kind: "folder" }]) {
    for (
      const junk of [{}, { size: -1, hash: "x", compressed: "maybe", executable: 7, offer: 7, pieces: 7 }]
    ) {
      const { id, path, timestamp, sender } = HEADER;
      const operation = parseOperation(
        { action: "create", id, path, timestamp, sender, ...junk, ...more },
        ALL,
      );
      assert.equal(operation.sizeBytes, 0);
      assert.equal(operation.hash, "");
      assert.equal(operation.compressed || operation.offer || operation.pieces, false);
      assert.equal(contentLimit(operation), 0);
    }
  }
  for (const field of ["id", "path", "timestamp", "sender"]) {
    refuses(without({ ...HEADER, action: "delete" }, field), "bad_header", `"${field}"`);
  }
});

Deno.test("how much content an operation may bring", () => {
  const limit = (more: RawHeader) => contentLimit(parseOperation({ ...HEADER, ...more }, ALL));
  assert.equal(limit({}), 15);
  assert.equal(limit({ size: 0 }), 0);
  assert.equal(limit({ size: 2 ** 53 - 1 }), 2 ** 53 - 1);
  assert.equal(limit({ size: 0, compressed: true }), 1024);
  assert.equal(limit({ size: 99, compressed: true }), 99 + 1024);
  assert.equal(limit({ size: 1_000_000, compressed: true }), 1_010_000 + 1024);
  assert.equal(limit({ offer: true }), 0);
  assert.equal(limit({ pieces: true }), 0);
  assert.equal(limit({ action: "delete" }), 0);
  assert.equal(limit({ kind: "folder" }), 0);
});

Deno.test("the id is found even where the rest is wrong", () => {
  assert.equal(idOf({ id: "a" }), "a");
  assert.equal(idOf({ id: "x".repeat(256), action: 7 }), "x".repeat(256));
  for (const id of ["", "x".repeat(257), 1, null, undefined, {}]) assert.equal(idOf({ id }), null);
});
