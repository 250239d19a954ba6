import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { eventually } from "../helpers/eventually.ts";
import { operation } from "../helpers/plain_client.ts";
import { sha256 } from "../helpers/tree.ts";
import { folder, ReceiveBench } from "./bench.ts";
import { type FarEnd, namesIn } from "./support.ts";

const KIB = 1024;

/** Fails unless what the database keeps of each peer is the sum of its files. */
function assertSums(bench: ReceiveBench): void {
  for (const { number } of [bench.anna, bench.bert]) {
    let sum = 0;
    for (const { state } of bench.store.synced.each(number)) sum += state.sizeBytes;
    assert.equal(bench.store.synced.bytesOf(number), sum);
  }
}

async function create(from: FarEnd, path: string, sizeBytes: number, action: "create" | "update" = "create") {
  const content = path.slice(0, 1).repeat(sizeBytes);
  return (await from.request(operation(action, path, content), content)).header;
}

Deno.test("quota: what fits is taken, what does not is refused with what to do, and shrinking always passes", async () => {
  await using bench = await ReceiveBench.open(100);
  const anna = bench.link();
  assert.equal((await create(anna, "a", 60)).status, "ok");
  const refused = await create(anna, "b", 41);
  assert.equal(refused.code, "over_quota");
  assert.match(
    String(refused.message),
    /quota there is 100 bytes, 60 are taken, and this needs 41 more: delete .*--quota/,
  );
  assert.equal((await create(anna, "b", 40)).status, "ok");
  assert.equal((await create(anna, "empty", 0)).status, "ok");
  await anna.accepted(folder("create", "folder"));
  assert.equal((await create(anna, "c", 1)).code, "over_quota");
  assert.equal((await create(anna, "a", 61, "update")).code, "over_quota");
  assert.equal((await create(anna, "b", 10, "update")).status, "ok");
  assert.equal((await create(anna, "a", 90, "update")).status, "ok");
  await anna.accepted(operation("delete", "a"));
  assert.equal((await create(anna, "c", 90)).status, "ok");
  assert.equal((await create(bench.link(bench.bert), "of bert", 100)).status, "ok", "each peer has its own");
  assertSums(bench);
});

Deno.test("quota: many at once do not get past it together", async () => {
  await using bench = await ReceiveBench.open(1000);
  const anna = bench.link();
  const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => create(anna, `${i}`, 90)));
  assert.equal(replies.filter(({ status }) => status === "ok").length, 11);
  assert.equal(replies.filter(({ code }) => code === "over_quota").length, 39);
  assertSums(bench);
  await anna.accepted(operation("delete", "3"));
  assert.equal((await create(anna, "3", 90)).status, "ok", "nothing is left taken by what was refused");
});

Deno.test("quota: it is looked at before content comes, however it comes", async () => {
  await using bench = await ReceiveBench.open(300 * KIB);
  const anna = bench.link();
  const large = "x".repeat(400 * KIB);
  assert.equal((await create(anna, "whole", 400 * KIB)).code, "over_quota");
  const zipped = operation("create", "zipped", large, { compressed: true });
  assert.equal((await anna.request(zipped, gzipSync(large))).header.code, "over_quota");
  await Deno.writeTextFile(`${bench.synced}/there`, large);
  const offer = operation("create", "there", large, { offer: true });
  assert.equal((await anna.request(offer)).header.code, "over_quota");
  const first = { id: "p", action: "piece", path: "pieces", size: large.length, offset: 0 };
  assert.equal((await anna.request(first, "x".repeat(1000))).header.code, "over_quota");
  // One that says less than it has is found out on the way.
  const liar = { id: "q", action: "piece", path: "liar", size: 1 };
  const reply = anna.request({ ...liar, offset: 0 }, large.slice(0, 200 * KIB));
  await anna.send({ ...liar, offset: 200 * KIB }, large.slice(0, 200 * KIB));
  assert.equal((await reply).header.code, "over_quota");
  await bench.rest();
  assert.deepEqual(await namesIn(bench.synced), ["there"]);
  assert.equal((await create(anna, "all of it", 300 * KIB)).status, "ok", "nothing is left taken");
});

Deno.test("quota: a large file in pieces takes its room once, and its beginning keeps it while the link is gone", async () => {
  await using bench = await ReceiveBench.open(5_000_000);
  const content = crypto.getRandomValues(new Uint8Array(65_536));
  const whole = new Uint8Array(4_000_000).map((_, i) => content[i % content.length]!);
  const anna = bench.link();
  const send = async (from: FarEnd, id: string, end: number) => {
    for (let at = 0; at < end; at += 500_000) {
      const header = { id, action: "piece", path: "big", size: whole.length, offset: at };
      await from.send(header, whole.subarray(at, at + 500_000));
    }
  };
  await send(anna, "1", 3_000_000);
  assert.equal((await create(anna, "other", 1_000_001)).code, "over_quota");
  const noted = () => bench.store.partials.of(bench.anna.number)[0]?.verifiedBytes ?? 0;
  await eventually("a beginning is noted", () => assert.ok(noted() >= 2_000_000));
  await bench.cut(anna);
  const kept = noted();
  assert.ok(kept >= 1_000_000, `${kept} bytes are kept`);
  const again = bench.link();
  assert.equal((await create(again, "other", 5_000_001 - kept)).code, "over_quota");
  assert.equal((await create(again, "other", 1_000_000)).status, "ok");
  bench.store.partials.remove(bench.anna.number, "big" as never);
  await send(again, "2", whole.length);
  const final = { ...operation("create", "big", whole, { pieces: true }), id: "2" };
  await again.accepted(final);
  assert.equal(sha256(await Deno.readFile(`${bench.synced}/big`)), sha256(whole));
  assert.equal((await create(again, "one more", 1)).code, "over_quota");
  assertSums(bench);
});

Deno.test("quota: the sums are right after moves, a restart, another quota and a removed peer", async () => {
  await using bench = await ReceiveBench.open(1000);
  const anna = bench.link();
  await anna.accepted(folder("create", "d"));
  for (const name of ["d/a", "d/b", "c"]) assert.equal((await create(anna, name, 200)).status, "ok");
  await anna.accepted({ ...folder("create", "e"), action: "move", path: "e", from: "d" });
  const moved = "c".repeat(200);
  await anna.accepted({ ...operation("create", "f", moved), action: "move", from: "c", kind: "file" });
  assertSums(bench);
  const bert = bench.link(bench.bert);
  assert.equal((await create(bert, "of bert", 1000)).status, "ok");
  await bench.rest();

  await using next = await bench.restarted(500);
  assertSums(next);
  const later = next.link();
  assert.equal((await create(later, "g", 1)).code, "over_quota", "less than there is: nothing more comes in");
  assert.equal((await create(later, "f", 150, "update")).status, "ok", "but what shrinks does");
  await later.accepted(operation("delete", "f"));
  assert.equal((await create(later, "g", 100)).status, "ok");
  next.store.peers.remove("bert");
  assertSums(next);
});

Deno.test("quota: without one nothing is refused for it", async () => {
  await using bench = await ReceiveBench.open();
  assert.equal((await create(bench.link(), "a", 500 * KIB)).status, "ok");
  assertSums(bench);
});
