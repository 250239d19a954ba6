import assert from "node:assert/strict";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import { MAX_HEADER_BYTES } from "../../src/wire/frame.ts";
import { FrameReader } from "../../src/wire/frame_reader.ts";
import { encodeFrame, join, lengthBytes, sourceOf } from "./streams.ts";

const withCode = (code: string) => (error: unknown) => error instanceof MirrorError && error.code === code;

Deno.test("a header of 65,536 bytes is read", async () => {
  const header = new Uint8Array(MAX_HEADER_BYTES).fill(0x20);
  const bytes = join([lengthBytes(BigInt(MAX_HEADER_BYTES)), header, lengthBytes(0n)]);
  const head = await new FrameReader(sourceOf(bytes, 1000)).head();
  assert.equal(head?.headerBytes.length, MAX_HEADER_BYTES);
  assert.equal(head?.contentBytes, 0);
});

Deno.test("a longer header is refused from its length alone, before anything of it is awaited or allocated", async () => {
  for (
    const length of [65_537n, 2n ** 31n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]
  ) {
    const source = sourceOf(lengthBytes(length), 1);
    await assert.rejects(new FrameReader(source).head(), withCode("bad_frame"), String(length));
    assert.equal(source.taken, 8);
  }
});

Deno.test("a content length up to 2^53 - 1 is passed on, without allocation; from 2^53 on it is refused", async () => {
  const head = (length: bigint) =>
    join([lengthBytes(2n), new TextEncoder().encode("{}"), lengthBytes(length)]);
  for (const length of [2n ** 32n, 2n ** 32n + 5n, 2n ** 53n - 1n]) {
    const reader = new FrameReader(sourceOf(head(length)));
    assert.equal((await reader.head())?.contentBytes, Number(length));
    assert.equal(reader.contentLeft, Number(length));
    assert.equal(reader.insideFrame, true);
  }
  for (const length of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    await assert.rejects(
      new FrameReader(sourceOf(head(length))).head(),
      withCode("bad_frame"),
      String(length),
    );
  }
});

Deno.test("a stream that ends between frames has ended; inside one it was cut off", async () => {
  assert.equal(await new FrameReader(sourceOf(new Uint8Array())).head(), null);
  const frame = encodeFrame({ id: "1" }, new Uint8Array(5));
  for (let cut = 1; cut < frame.length; cut++) {
    const reader = new FrameReader(sourceOf(frame.subarray(0, cut), 3));
    const read = async () => {
      await reader.head();
      await reader.rest();
    };
    await assert.rejects(read(), withCode("link_closed"), `cut after ${cut}`);
    assert.equal(reader.insideFrame, true, `cut after ${cut}`);
  }
});

Deno.test("content is given in pieces no longer than asked for, or skipped", async () => {
  const content = Uint8Array.from({ length: 100 }, (_, i) => i);
  const two = join([
    encodeFrame({ n: 1 }, content),
    encodeFrame({ n: 2 }, content),
    encodeFrame({ n: 3 }, null),
  ]);
  for (const size of [1, 13, two.length]) {
    const reader = new FrameReader(sourceOf(two, size));
    assert.equal((await reader.head())?.contentBytes, 100);
    const parts: Uint8Array[] = [];
    for (;;) {
      const part = await reader.some(9);
      if (part === null) break;
      assert(part.length > 0 && part.length <= 9);
      parts.push(part.slice());
      assert.equal(reader.contentLeft, 100 - parts.reduce((sum, p) => sum + p.length, 0));
    }
    assert.deepEqual(join(parts), content);
    assert.equal(reader.insideFrame, false);
    await reader.head();
    await reader.some(9);
    await reader.skip();
    assert.equal(reader.contentLeft, 0);
    assert.equal(new TextDecoder().decode((await reader.head())?.headerBytes), '{"n":3}');
    assert.equal(await reader.some(9), null);
    assert.equal(await reader.head(), null);
  }
});

Deno.test("the content must be taken before the next frame", async () => {
  const reader = new FrameReader(sourceOf(encodeFrame({}, new Uint8Array(1))));
  await reader.head();
  await assert.rejects(reader.head(), /not taken/);
});

Deno.test("empty reads of the stream are no end", async () => {
  const frame = encodeFrame({ id: "1" }, new Uint8Array(3));
  const inner = sourceOf(frame, 2);
  let empty = false;
  const reader = new FrameReader(() => {
    empty = !empty;
    return empty ? Promise.resolve(new Uint8Array()) : inner();
  });
  assert.equal((await reader.head())?.contentBytes, 3);
  assert.equal((await reader.rest()).length, 3);
  assert.equal(await reader.head(), null);
});

Deno.test("a source that fails fails the read", async () => {
  const failure = new MirrorError("link_stalled", "silence");
  await assert.rejects(new FrameReader(() => Promise.reject(failure)).head(), failure);
});
