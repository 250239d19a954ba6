import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { ChunkList } from "../../src/chunks/chunk_list.ts";
import { ScriptWriter } from "../../src/chunks/script.ts";
import { eventually } from "../helpers/eventually.ts";
import type { JsonObject } from "../helpers/json.ts";
import { operation } from "../helpers/plain_client.ts";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { sha256 } from "../helpers/tree.ts";
import { ReceiveBench } from "./bench.ts";
import { copiesIn, type FarEnd } from "./support.ts";

/** 3 MB that no two stretches of are alike. */
const OLD = new Uint8Array(3_000_000);
for (let at = 0, i = 0; at < OLD.length; at += 32, i++) {
  OLD.set(createHash("sha256").update(`old ${i}`).digest().subarray(0, OLD.length - at), at);
}
const NEW = new Uint8Array([...OLD.subarray(0, 1_000_000), 7, ...OLD.subarray(1_000_000)]);

function piece(
  id: string,
  whole: Uint8Array,
  offset: number,
  end: number,
  more: JsonObject = {},
): JsonObject {
  return {
    ...{ action: "piece", id, path: "big", size: whole.length, offset, length: end - offset },
    digest: sha256(whole.subarray(0, end)),
    ...more,
  };
}

/** What makes `NEW` of `OLD`. */
function script(): Uint8Array {
  const writer = new ScriptWriter(0, new Uint8Array(10));
  writer.copy(0, 1_000_000);
  writer.literal(new Uint8Array([7]));
  writer.copy(1_000_000, 2_000_000);
  return writer.finish();
}

async function sendWhole(anna: FarEnd, id: string, whole: Uint8Array, from = 0, more: JsonObject = {}) {
  for (let at = from; at < whole.length; at += 500_000) {
    const end = Math.min(whole.length, at + 500_000);
    await anna.send(piece(id, whole, at, end, more), whole.subarray(at, end));
  }
}

/** The last place at which the receiver has asked an operation to be gone on with. */
async function resumeOf(anna: FarEnd, id: string, turn: number): Promise<JsonObject> {
  const asked = () =>
    anna.frames.find(({ header }) => header.action === "resume" && header.id === id && header.turn === turn)
      ?.header;
  await eventually("the receiver asks to go on elsewhere", () => assert.ok(asked()));
  return asked()!;
}

async function withOld(): Promise<{ bench: ReceiveBench; anna: FarEnd }> {
  const bench = await ReceiveBench.open();
  const anna = bench.link();
  const create = { ...operation("create", "big", OLD), pieces: true };
  await sendWhole(anna, create.id, OLD);
  await anna.accepted(create);
  return { bench, anna };
}

function repairs(bench: ReceiveBench): number {
  return bench.store.log.newest(100, null).filter(({ action }) => action === "repair").length;
}

Deno.test("pieces: a new version is made of the one before and of what differs, packed or not", async () => {
  for (const packed of [false, true]) {
    const { bench, anna } = await withOld();
    await using _ = bench;
    const update = { ...operation("update", "big", NEW), pieces: true };
    const raw = script();
    const more = { base: sha256(OLD), coding: packed ? "script+gzip" : "script", raw: raw.length };
    await anna.send(piece(update.id, NEW, 0, NEW.length, more), packed ? gzipSync(raw) : raw);
    await anna.accepted(update);
    assert.equal(sha256(await Deno.readFile(`${bench.synced}/big`)), sha256(NEW));
    await bench.rest();
    assert.equal(repairs(bench), 0);
  }
});

Deno.test("pieces: a base that is not here, or was edited by hand, is said, with what is here instead", async () => {
  for (const edited of [false, true]) {
    const { bench, anna } = await withOld();
    await using _ = bench;
    const mine = OLD.slice().fill(9, 5, 10);
    if (edited) await Deno.writeFile(`${bench.synced}/big`, mine);
    const update = { ...operation("update", "big", NEW), pieces: true };
    const more = { base: edited ? sha256(OLD) : sha256(NEW), coding: "script" };
    await anna.send(piece(update.id, NEW, 0, NEW.length, more), script());
    const resume = await resumeOf(anna, update.id, 1);
    assert.equal(resume.lacks, more.base);
    assert.equal(resume.has, sha256(edited ? mine : OLD));
    const described = anna.frames.find(({ header }) => header.action === "resume")!.content;
    assert.equal(ChunkList.parse(described)!.sizeBytes, OLD.length);
    // What is here serves as well: only its first bytes may differ from the version that the sender thought of.
    const writer = new ScriptWriter(0, new Uint8Array(20));
    writer.literal(NEW.subarray(0, 10));
    writer.copy(10, 999_990);
    writer.literal(new Uint8Array([7]));
    writer.copy(1_000_000, 2_000_000);
    const made = { base: resume.has, coding: "script", turn: 1 };
    await anna.send(piece(update.id, NEW, 0, NEW.length, made), writer.finish());
    await anna.accepted({ ...update, turn: 1 });
    assert.equal(sha256(await Deno.readFile(`${bench.synced}/big`)), sha256(NEW));
    assert.equal((await copiesIn(bench.synced)).length, edited ? 1 : 0);
  }
});

Deno.test("pieces: bytes that the base does not really have are found out, logged, and asked for whole", async () => {
  const { bench, anna } = await withOld();
  await using _ = bench;
  // The content is other than the row says, with the stat of before: a disk that has lost bytes.
  const row = bench.store.synced.get(bench.anna.number, "big" as never)!;
  const bad = OLD.slice();
  bad[2_000_000] = bad[2_000_000]! ^ 1;
  await Deno.writeFile(`${bench.synced}/big`, bad);
  const stat = await bench.tree.lstat("big");
  bench.store.synced.put({ ...row, disk: stat! });
  const update = { ...operation("update", "big", NEW), pieces: true };
  await anna.send(piece(update.id, NEW, 0, NEW.length, { base: sha256(OLD), coding: "script" }), script());
  const resume = await resumeOf(anna, update.id, 1);
  assert.equal(resume.plain, NEW.length);
  // What was on its way is dropped, and the operation that belongs to it is not answered.
  await anna.send(update);
  await sendWhole(anna, update.id, NEW, 0, { turn: 1 });
  await anna.accepted({ ...update, turn: 1 });
  assert.equal(sha256(await Deno.readFile(`${bench.synced}/big`)), sha256(NEW));
  assert.equal(repairs(bench), 1);
});

Deno.test("pieces: one that arrives damaged is asked for again, from there", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  const create = { ...operation("create", "big", OLD), pieces: true };
  await anna.send(piece(create.id, OLD, 0, 500_000), OLD.subarray(0, 500_000));
  await anna.send(piece(create.id, OLD, 500_000, 1_000_000), NEW.subarray(600_000, 1_100_000));
  const resume = await resumeOf(anna, create.id, 1);
  assert.deepEqual(resume.marks, [[500_000, sha256(OLD.subarray(0, 500_000))]]);
  await sendWhole(anna, create.id, OLD, 500_000, { turn: 1 });
  await anna.accepted({ ...create, turn: 1 });
  assert.equal(sha256(await Deno.readFile(`${bench.synced}/big`)), sha256(OLD));
  assert.equal(repairs(bench), 1);
});

Deno.test("pieces: lies in a piece are refused, the version before stays", async () => {
  const lies: Record<string, { more: JsonObject; content: Uint8Array }> = {
    "a script beyond the base": {
      more: { base: sha256(OLD), coding: "script", offset: 0, length: 10 },
      content: new Uint8Array([21, 200, 200, 200, 200, 1]),
    },
    "a gzip bomb": { more: { coding: "gzip", raw: 1000 }, content: gzipSync(new Uint8Array(50_000_000)) },
    "a bomb that says so": {
      more: { coding: "gzip", raw: 50_000_000 },
      content: gzipSync(new Uint8Array(50_000_000)),
    },
    "no gzip": { more: { coding: "gzip", raw: 3 }, content: new Uint8Array([1, 2, 3]) },
    "another coding": { more: { coding: "zstd" }, content: new Uint8Array(3) },
    "no number": { more: { length: "x" }, content: new Uint8Array(3) },
    "no way to cut": { more: { bits: 21 }, content: new Uint8Array(3) },
    "a turn that nobody asked for": { more: { turn: 3 }, content: NEW.subarray(0, 3) },
  };
  for (const [lie, { more, content }] of Object.entries(lies)) {
    const { bench, anna } = await withOld();
    await using _ = bench;
    const update = operation("update", "big", NEW);
    const refusal = await anna.refused(
      { ...piece(update.id, NEW, 0, NEW.length, more), id: update.id },
      content,
    );
    assert.match(String(refusal.code), /^bad_(content|header)$/, lie);
    assert.equal(sha256(await Deno.readFile(`${bench.synced}/big`)), sha256(OLD), lie);
    await anna.accepted(operation("create", "small", "s"), "s");
  }
});

Deno.test("pieces: an operation of a turn that nobody asked for is refused", async () => {
  const { bench, anna } = await withOld();
  await using _ = bench;
  const update = { ...operation("update", "big", NEW), pieces: true };
  await sendWhole(anna, update.id, NEW);
  assert.equal((await anna.refused({ ...update, turn: 7 })).code, "bad_content");
  assert.equal(sha256(await Deno.readFile(`${bench.synced}/big`)), sha256(OLD));
});

Deno.test("pieces: a sender that builds on one thing after the other that is not here is not told for ever", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  const { id } = operation("create", "big", NEW);
  const ask = (turn: number): JsonObject =>
    piece(id, NEW, 0, NEW.length, {
      base: sha256(`${turn}`),
      coding: "script",
      ...(turn > 0 ? { turn } : {}),
    });
  for (let turn = 0; turn < 150; turn++) {
    await anna.send(ask(turn), script());
    await resumeOf(anna, id, turn + 1);
  }
  const refusal = await anna.refused({ ...ask(150), id }, script());
  assert.match(String(refusal.message), /build on 150 versions that are not here/);
});

Deno.test("pieces: what came before the process was killed is gone on with", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  const large = new Uint8Array(12_000_000).map((_, i) => i % 251 ^ i >> 12);
  const first = operation("create", "big", large);
  for (let at = 0; at < 10_000_000; at += 500_000) {
    await anna.send(piece(first.id, large, at, at + 500_000), large.subarray(at, at + 500_000));
  }
  await eventually("most of it was checked", () => {
    assert.equal(bench.receiver.transfers()[0]?.doneBytes, 10_000_000);
  });
  await using again = await bench.restarted();
  const next = again.link();
  const create = { ...operation("create", "big", large), pieces: true };
  await next.send(piece(create.id, large, 0, 500_000), large.subarray(0, 500_000));
  const { marks } = await resumeOf(next, create.id, 1) as unknown as { marks: [number, string][] };
  const [offset, digest] = marks[0]!;
  assert.ok(offset >= 10_000_000 - 1_500_000, `goes on at ${offset}`);
  assert.equal(digest, sha256(large.subarray(0, offset)));
  await sendWhole(next, create.id, large, offset, { turn: 1 });
  await next.accepted({ ...create, turn: 1 });
  assert.equal(sha256(await Deno.readFile(`${again.synced}/big`)), sha256(large));
  await again.rest();
  assert.deepEqual(again.store.partials.list(), []);
});

Deno.test("pieces: a beginning that is shorter than was noted spoils nothing", async () => {
  await using bench = await ReceiveBench.open();
  // What a power cut can leave: the row is durable, the bytes are not.
  await Deno.mkdir(`${bench.synced}/.mirrorsync-staging`);
  const staged = ".mirrorsync-staging/new-left";
  await Deno.writeTextFile(`${bench.synced}/${staged}`, "not even a start");
  bench.store.partials.put({
    ...{ peer: bench.anna.number, path: "big" as RelativePath, staged, sizeBytes: OLD.length },
    ...{ verifiedBytes: 2_000_000, sentBytes: 2_000_000, updatedMs: Date.now() },
  });
  const anna = bench.link();
  const create = { ...operation("create", "big", OLD), pieces: true };
  await sendWhole(anna, create.id, OLD);
  await anna.accepted(create);
  assert.equal(sha256(await Deno.readFile(`${bench.synced}/big`)), sha256(OLD));
});

Deno.test("pieces: more than was announced is taken only if the disk has room for it", async () => {
  await using bench = await ReceiveBench.open();
  let free = 16 * 1024 * 1024 + 1_200_000;
  bench.tree.freeBytes = () => Promise.resolve(free);
  bench.tree.after = ({ method, args }) => {
    if (method === "write") free -= Number(args[1]);
    if (method === "unlink") free += 1_000_000;
  };
  const anna = bench.link();
  const create = operation("create", "big", OLD);
  const answer = anna.refused(
    { ...piece(create.id, OLD, 0, 500_000, { size: 10 }), id: create.id },
    OLD.subarray(0, 500_000),
  );
  for (let at = 500_000; at < 2_000_000; at += 500_000) {
    await anna.send(piece(create.id, OLD, at, at + 500_000), OLD.subarray(at, at + 500_000));
  }
  assert.equal((await answer).code, "no_space");
  await anna.accepted(operation("create", "small", "s"), "s");
  await bench.rest();
});

Deno.test("pieces: a folder in the way is said at the first piece, before the rest has travelled", async () => {
  await using bench = await ReceiveBench.open();
  await Deno.mkdir(`${bench.synced}/big`);
  await Deno.writeTextFile(`${bench.synced}/big/mine`, "a file of this computer");
  const anna = bench.link();
  const { id } = operation("create", "big", OLD);
  const { header } = await anna.request(
    piece(id, OLD, 0, 500_000) as JsonObject & { id: string },
    OLD.subarray(0, 500_000),
  );
  assert.deepEqual([header.status, header.code], ["error", "folder_in_the_way"]);
  await bench.rest();
  // An empty one gives way.
  await Deno.remove(`${bench.synced}/big/mine`);
  const again = { ...operation("create", "big", OLD), pieces: true };
  await sendWhole(anna, again.id, OLD);
  await anna.accepted(again);
  assert.equal(sha256(await Deno.readFile(`${bench.synced}/big`)), sha256(OLD));
});
