import assert from "node:assert/strict";
import { parseOperation, parseRawHeader } from "../../src/domain/header.ts";
import { FRAME_OVERHEAD_BYTES, MAX_HEADER_BYTES, writeFrameHead } from "../../src/wire/frame.ts";
import { FrameReader } from "../../src/wire/frame_reader.ts";
import { GunzipMember } from "../../src/receive/gunzip_member.ts";
import { encodeFrame, join, sourceOf } from "./streams.ts";
import { FRAMES, frameVector } from "./vectors.ts";

const EVERYTHING = { folders: true, modes: true, offer: true, pieces: true, moves: true };

Deno.test("the frames of the document are written byte for byte", () => {
  for (const { name, header, content, bytes } of FRAMES) {
    assert.equal(encodeFrame(header, Uint8Array.fromHex(content)).toHex(), bytes, name);
  }
});

Deno.test("the frames of the document are read, all in one piece and byte by byte", async () => {
  const whole = join(FRAMES.map(({ bytes }) => Uint8Array.fromHex(bytes)));
  for (const size of [whole.length, 1, 7]) {
    const reader = new FrameReader(sourceOf(whole, size));
    for (const { name, header, content } of FRAMES) {
      const head = await reader.head();
      assert(head !== null, name);
      assert.deepEqual(parseRawHeader(head.headerBytes), header, name);
      assert.equal(head.contentBytes, content.length / 2, name);
      assert.equal((await reader.rest()).toHex(), content, name);
    }
    assert.equal(await reader.head(), null);
    assert.equal(reader.bytesRead, whole.length);
  }
});

Deno.test("the operations of the document mean what it says", () => {
  const read = (name: string) => parseOperation(frameVector(name).header, EVERYTHING);
  const create = read("create");
  assert.deepEqual(create, {
    id: "3f1c0d5e-8a44-4c1b-9b57-000000000001",
    action: "create",
    path: "a/b.txt",
    from: null,
    mtimeMs: Date.UTC(2026, 10, 22, 10, 0, 0, 123),
    sizeBytes: 15,
    hash: "" + frameVector("create").header["hash"],
    sender: "anna",
    compressed: false,
    kind: "file",
    executable: null,
    offer: false,
    pieces: false,
    turn: 0,
  });
  assert.equal(read("update").path, "Briefe/é 🪞.txt");
  assert.equal(read("delete").action, "delete");
  assert.equal(read("create-compressed").compressed, true);
  assert.equal(read("create-folder").kind, "folder");
  assert.equal(read("create-executable").executable, true);
  assert.equal(read("offer").offer, true);
  assert.equal(read("piece-final").pieces, true);
  assert.equal(read("move-file").from, "a/b.txt");
  assert.deepEqual([read("move-folder").kind, read("move-folder").from], ["folder", "photos"]);
});

Deno.test("the compressed content of the document unpacks to the size and hash of its header", async () => {
  const { header, content, unpacked } = frameVector("create-compressed");
  const gunzip = new GunzipMember(header["size"] as number);
  const parts = [
    ...await Array.fromAsync(gunzip.push(Uint8Array.fromHex(content))),
    ...await gunzip.finish(),
  ];
  gunzip.close();
  assert.equal(join(parts).toHex(), unpacked);
  assert.equal(join(parts).length, header["size"]);
  const hash = await crypto.subtle.digest("SHA-256", join(parts));
  assert.equal(new Uint8Array(hash).toHex(), header["hash"]);
});

Deno.test("sizes and hashes in the document's operations are those of their contents", async () => {
  for (const { name, header, content } of FRAMES) {
    if (content === "" || header["compressed"] !== false || header["pieces"] === true) continue;
    const hash = await crypto.subtle.digest("SHA-256", Uint8Array.fromHex(content));
    assert.equal(new Uint8Array(hash).toHex(), header["hash"], name);
    assert.equal(content.length / 2, header["size"], name);
  }
  const pieces = Uint8Array.fromHex(frameVector("piece-1").content + frameVector("piece-2").content);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", pieces)).toHex();
  assert.equal(hash, frameVector("piece-final").header["hash"]);
  assert.equal(pieces.length, frameVector("piece-final").header["size"]);
});

Deno.test("a header of 65,536 bytes is written, one more is the caller's mistake", () => {
  const fits = { a: "x".repeat(MAX_HEADER_BYTES - '{"a":""}'.length) };
  assert.equal(encodeFrame(fits, null).length, MAX_HEADER_BYTES + FRAME_OVERHEAD_BYTES);
  assert.throws(() => encodeFrame({ a: fits.a + "x" }, null), RangeError);
  assert.throws(() => encodeFrame({ a: "€".repeat(MAX_HEADER_BYTES) }, null), RangeError);
  const room = new Uint8Array(FRAME_OVERHEAD_BYTES + 6);
  assert.throws(() => writeFrameHead(room, '{"a":1}', 0), RangeError);
});

Deno.test("a content length is written in full, past 2^32 too", () => {
  const head = new Uint8Array(FRAME_OVERHEAD_BYTES + 2);
  assert.equal(writeFrameHead(head, "{}", 2 ** 40 + 3), head.length);
  assert.equal(head.toHex(), "0000000000000002" + "7b7d" + "0000010000000003");
});
