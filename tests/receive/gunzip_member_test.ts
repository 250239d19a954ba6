import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { crc32, deflateRawSync, gzipSync } from "node:zlib";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import { GunzipMember } from "../../src/receive/gunzip_member.ts";

/** Unpacks `bytes`, fed in parts of `step`. */
async function unpack(bytes: Uint8Array, limitBytes: number, step = bytes.length): Promise<Buffer> {
  const gunzip = new GunzipMember(limitBytes);
  try {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += step) {
      for await (const part of gunzip.push(bytes.subarray(at, at + step))) parts.push(part);
    }
    parts.push(...await gunzip.finish());
    return Buffer.concat(parts);
  } finally {
    gunzip.close();
  }
}

const refused = (error: unknown) => error instanceof MirrorError && error.code === "bad_content";

/** A gzip member with the header fields that `flags` says. */
function member(content: Uint8Array, flags: number): Buffer {
  const header = Buffer.from([0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 2, 255]);
  const parts: Uint8Array[] = [header];
  if (flags & 4) parts.push(Buffer.from([5, 0]), Buffer.from("extra"));
  if (flags & 8) parts.push(Buffer.from("a name\0"));
  if (flags & 16) parts.push(Buffer.from("a comment\0"));
  if (flags & 2) {
    const crc = Buffer.alloc(2);
    crc.writeUInt16LE(crc32(Buffer.concat(parts)) & 0xffff);
    parts.push(crc);
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(content), 0);
  trailer.writeUInt32LE(content.length, 4);
  return Buffer.concat([...parts, deflateRawSync(content), trailer]);
}

const TEXT = Buffer.from("The quick brown fox. ".repeat(2000));
const NOISE = crypto.getRandomValues(new Uint8Array(60_000));

Deno.test("gunzip: whole members of all kinds, in parts of any size", async () => {
  for (const content of [TEXT, Buffer.from(NOISE), Buffer.alloc(0), Buffer.from("x")]) {
    for (const step of [undefined, 7, 4096]) {
      assert.deepEqual(await unpack(gzipSync(content), content.length, step), content);
    }
  }
});

Deno.test("gunzip: byte by byte", async () => {
  const small = TEXT.subarray(0, 3000);
  assert.deepEqual(await unpack(gzipSync(small), small.length, 1), small);
  assert.deepEqual(await unpack(member(small, 4 | 8 | 16 | 2), small.length, 1), small);
});

Deno.test("gunzip: headers with name, comment, extra field and checksum", async () => {
  for (const flags of [0, 1, 2, 4, 8, 16, 8 | 16, 4 | 8 | 16 | 2]) {
    assert.deepEqual(await unpack(member(TEXT, flags), TEXT.length), TEXT, `flags ${flags}`);
  }
});

Deno.test("gunzip: anything after the member is refused", async () => {
  for (const more of [Buffer.from("x"), Buffer.alloc(8), Buffer.alloc(100), Buffer.alloc(100_000)]) {
    for (const step of [undefined, 1000]) {
      await assert.rejects(unpack(Buffer.concat([gzipSync(TEXT), more]), TEXT.length, step), refused);
    }
  }
});

Deno.test("gunzip: two members are refused", async () => {
  const half = TEXT.subarray(0, TEXT.length / 2);
  for (const second of [half, Buffer.alloc(0)]) {
    const two = Buffer.concat([gzipSync(half), gzipSync(second)]);
    for (const step of [undefined, 50]) {
      await assert.rejects(unpack(two, TEXT.length, step), refused);
    }
  }
});

Deno.test("gunzip: a member that is cut off anywhere is refused", async () => {
  const whole = gzipSync(TEXT);
  for (const length of [0, 1, 9, 10, 11, 17, 18, 50, whole.length - 9, whole.length - 8, whole.length - 1]) {
    await assert.rejects(unpack(whole.subarray(0, length), TEXT.length), refused, `cut at ${length}`);
  }
});

Deno.test("gunzip: what is not gzip, or damaged, is refused", async () => {
  const whole = gzipSync(TEXT);
  await assert.rejects(unpack(Buffer.from("this is no gzip at all, it is text"), 100), refused);
  await assert.rejects(unpack(deflateRawSync(TEXT), TEXT.length), refused);
  for (const at of [0, 1, 2, 3, whole.length - 8, whole.length - 1]) {
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 0xe0;
    await assert.rejects(unpack(damaged, TEXT.length), refused, `byte ${at}`);
  }
});

Deno.test("gunzip: more than the declared size is refused, less is given as it is", async () => {
  await assert.rejects(unpack(gzipSync(TEXT), TEXT.length - 1), refused);
  assert.equal((await unpack(gzipSync(TEXT), TEXT.length + 1)).length, TEXT.length);
});

Deno.test("gunzip: what shrinks a thousandfold is handed over a little at a time", async () => {
  const zeros = Buffer.alloc(64 * 1024 * 1024);
  const gunzip = new GunzipMember(zeros.length);
  try {
    let unpacked = 0;
    for await (const part of gunzip.push(gzipSync(zeros))) {
      unpacked += part.length;
      // Whoever takes it slowly has no more of it in memory: nothing is unpacked ahead.
      assert.ok(gunzip.unpackedBytes - unpacked <= 1024 * 1024, `${gunzip.unpackedBytes} at ${unpacked}`);
    }
    for (const part of await gunzip.finish()) unpacked += part.length;
    assert.equal(unpacked, zeros.length);
  } finally {
    gunzip.close();
  }
});

Deno.test("gunzip: a bomb is stopped long before it has unpacked", async () => {
  const bomb = gzipSync(Buffer.alloc(128 * 1024 * 1024), { level: 9 });
  const gunzip = new GunzipMember(1024);
  let fed = 0;
  try {
    await assert.rejects(async () => {
      for (; fed < bomb.length; fed += 4096) {
        for await (const _ of gunzip.push(bomb.subarray(fed, fed + 4096)));
      }
    }, refused);
  } finally {
    gunzip.close();
  }
  assert.ok(fed < 16_384, `refused only after ${fed} of ${bomb.length} compressed bytes`);
});
