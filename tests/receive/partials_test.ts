import assert from "node:assert/strict";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { eventually } from "../helpers/eventually.ts";
import { operation } from "../helpers/plain_client.ts";
import { exists, put, sha256 } from "../helpers/tree.ts";
import { ReceiveBench } from "./bench.ts";
import type { FarEnd } from "./support.ts";

const MB = 1_000_000;
const LARGE = crypto.getRandomValues(new Uint8Array(65_536));
const FILE = new Uint8Array(8 * MB).map((_, i) => LARGE[i % LARGE.length]! ^ (i >> 16));

async function sendPieces(anna: FarEnd, id: string, path: string, from: number, to: number, turn = 0) {
  for (let offset = from; offset < to; offset += 500_000) {
    const content = FILE.subarray(offset, Math.min(to, offset + 500_000));
    const digest = sha256(FILE.subarray(0, offset + content.length));
    const place = { action: "piece", id, path, size: FILE.length, offset, length: content.length };
    await anna.send({ ...place, digest, ...(turn > 0 ? { turn } : {}) }, content);
  }
}

/** A file of which 5 MB came before its sender gave it up. */
async function withBeginning(
  path = "a/big",
  bytes = 5 * MB,
): Promise<{ bench: ReceiveBench; anna: FarEnd }> {
  const bench = await ReceiveBench.open();
  const anna = bench.link();
  await begin(bench, anna, path, bytes);
  return { bench, anna };
}

async function begin(bench: ReceiveBench, anna: FarEnd, path: string, bytes = 5 * MB): Promise<void> {
  const { id } = operation("create", path, FILE);
  await sendPieces(anna, id, path, 0, bytes);
  await anna.send({ action: "abort", id });
  await eventually("its beginning is kept", () => {
    assert.equal(bench.receiver.busy, false);
    const kept = bench.store.partials.get(bench.anna.number, path as RelativePath);
    assert.equal(kept?.verifiedBytes, bytes);
  });
}

/** Begins to send a file, and waits for where the receiver wants it to go on. */
async function resumed(anna: FarEnd, id: string, path: string): Promise<[number, string]> {
  await sendPieces(anna, id, path, 0, 500_000);
  const resume = () =>
    anna.frames.find(({ header }) => header.action === "resume" && header.id === id)?.header;
  await eventually("it is asked to go on elsewhere", () => assert.ok(resume()));
  return (resume()!.marks as unknown as [number, string][])[0]!;
}

const staged = (bench: ReceiveBench) =>
  [...Deno.readDirSync(`${bench.synced}/.mirrorsync-staging`)].map(({ name }) => name);

Deno.test("partials: a file that was moved half-way goes on under its new name", async () => {
  for (const path of ["a/other", "moved/deeper/big"]) {
    const { bench, anna } = await withBeginning();
    await using _ = bench;
    const create = { ...operation("create", path, FILE), pieces: true };
    const [offset, digest] = await resumed(anna, create.id, path);
    assert.equal(offset, 5 * MB);
    assert.equal(digest, sha256(FILE.subarray(0, offset)));
    await sendPieces(anna, create.id, path, offset, FILE.length, 1);
    await anna.accepted({ ...create, turn: 1 });
    assert.equal(sha256(await Deno.readFile(`${bench.synced}/${path}`)), sha256(FILE));
    await bench.rest();
    assert.deepEqual(bench.store.partials.list(), []);
  }
});

Deno.test("partials: under its new name it can be cut again, and be killed", async () => {
  const { bench, anna } = await withBeginning();
  await using _ = bench;
  const { id } = operation("create", "b", FILE);
  const [offset] = await resumed(anna, id, "b");
  await sendPieces(anna, id, "b", offset, offset + 1_500_000, 1);
  await eventually("it went on", () => assert.equal(bench.receiver.transfers()[0]?.doneBytes, 6_500_000));
  await using again = await bench.restarted();
  const [partial, ...others] = again.store.partials.list();
  assert.deepEqual(others, [], "one staged file, one row");
  assert.equal(partial?.path, "b");
  assert.ok(partial.verifiedBytes >= 5_500_000, `${partial.verifiedBytes} are noted`);
  const next = again.link();
  const create = { ...operation("create", "b", FILE), pieces: true };
  const [further] = await resumed(next, create.id, "b");
  assert.equal(further, partial.verifiedBytes);
  await sendPieces(next, create.id, "b", further, FILE.length, 1);
  await next.accepted({ ...create, turn: 1 });
  assert.equal(sha256(await Deno.readFile(`${again.synced}/b`)), sha256(FILE));
  await again.rest();
});

Deno.test("partials: another file of the same size costs nothing of what is kept", async () => {
  const { bench, anna } = await withBeginning();
  await using _ = bench;
  const create = { ...operation("create", "b", FILE), pieces: true };
  // The sender finds that nothing of it fits, and begins at the start.
  await resumed(anna, create.id, "b");
  await sendPieces(anna, create.id, "b", 0, FILE.length, 1);
  await anna.accepted({ ...create, turn: 1 });
  assert.equal(sha256(await Deno.readFile(`${bench.synced}/b`)), sha256(FILE));
  const [kept, ...others] = bench.store.partials.list();
  assert.deepEqual([kept?.path, kept?.verifiedBytes, others.length], ["a/big", 5 * MB, 0]);
  const [offset] = await resumed(anna, operation("create", "a/big", FILE).id, "a/big");
  assert.equal(offset, 5 * MB);
});

Deno.test("partials: one that is only offered stays what it was when the link is cut, or the transfer refused", async () => {
  for (const end of ["cut", "refused"] as const) {
    const { bench, anna } = await withBeginning();
    await using _ = bench;
    const { id } = operation("create", "b", FILE);
    await resumed(anna, id, "b");
    if (end === "cut") await bench.cut(anna);
    else await anna.send({ action: "piece", id, path: "b", turn: 1, offset: 77, size: 1, length: 1 }, "x");
    await eventually("it is over", () => assert.equal(bench.receiver.transfers().length, 0));
    const next = bench.link();
    const [offset] = await resumed(next, operation("create", "a/big", FILE).id, "a/big");
    assert.equal(offset, 5 * MB, end);
  }
});

Deno.test("partials: of a peer that was removed meanwhile nothing stays when its link ends", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await sendPieces(anna, operation("create", "big", FILE).id, "big", 0, 5 * MB);
  await eventually("it has come", () => assert.equal(bench.receiver.transfers()[0]?.doneBytes, 5 * MB));
  bench.store.peers.remove("anna");
  await bench.cut(anna);
  await bench.rest();
});

Deno.test("partials: two files at once do not go on with the same one", async () => {
  const { bench, anna } = await withBeginning();
  await using _ = bench;
  const [b, c] = ["b", "c"].map((path) => ({ ...operation("create", path, FILE), pieces: true }));
  await resumed(anna, b!.id, "b");
  await sendPieces(anna, c!.id, "c", 0, FILE.length);
  await anna.accepted(c!);
  await sendPieces(anna, b!.id, "b", 5 * MB, FILE.length, 1);
  await anna.accepted({ ...b!, turn: 1 });
  for (const path of ["b", "c"]) {
    assert.equal(sha256(await Deno.readFile(`${bench.synced}/${path}`)), sha256(FILE));
  }
  await bench.rest();
});

for (const first of ["the other file lets go", "the file itself is noted"] as const) {
  Deno.test(`partials: one that another file has in use is freed when its own comes anew, also if ${first} first`, async () => {
    const { bench, anna } = await withBeginning("a");
    await using _ = bench;
    const other = { ...operation("create", "b", FILE), pieces: true };
    await resumed(anna, other.id, "b");
    const own = { ...operation("create", "a", FILE), pieces: true };
    const others = async () => {
      await sendPieces(anna, other.id, "b", 0, FILE.length, 1);
      await anna.accepted({ ...other, turn: 1 });
    };
    await sendPieces(anna, own.id, "a", 0, 500_000);
    if (first === "the other file lets go") await others();
    await sendPieces(anna, own.id, "a", 500_000, FILE.length);
    await anna.accepted(own);
    if (first === "the file itself is noted") await others();
    await bench.rest();
    assert.deepEqual(bench.store.partials.list(), []);
    for (const path of ["a", "b"]) {
      assert.equal(sha256(await Deno.readFile(`${bench.synced}/${path}`)), sha256(FILE));
    }
  });
}

Deno.test("partials: it is freed when its path is deleted, and when its sender has nothing more to send", async () => {
  for (const how of ["deleted", "complete"] as const) {
    const { bench, anna } = await withBeginning();
    await using _ = bench;
    await anna.accepted(operation("delete", "something/else"));
    assert.equal(staged(bench).length, 1);
    if (how === "deleted") await anna.accepted(operation("delete", "a/big"));
    else {
      await bench.receiver.completed(bench.bert);
      assert.equal(staged(bench).length, 1, "another peer says nothing of it");
      await bench.receiver.completed(bench.anna);
    }
    await bench.rest();
    assert.deepEqual(bench.store.partials.list(), []);
  }
});

Deno.test("partials: another file of the same size gets the room, when there is not enough for both", async () => {
  const { bench, anna } = await withBeginning();
  await using _ = bench;
  const create = { ...operation("create", "b", FILE), pieces: true };
  await resumed(anna, create.id, "b");
  let free = 20 * MB;
  bench.tree.freeBytes = () => Promise.resolve(free);
  bench.tree.after = ({ method }) => {
    if (method === "unlink") free = 30 * MB;
  };
  await sendPieces(anna, create.id, "b", 0, FILE.length, 1);
  await anna.accepted({ ...create, turn: 1 });
  assert.equal(sha256(await Deno.readFile(`${bench.synced}/b`)), sha256(FILE));
  assert.deepEqual(bench.store.partials.list(), []);
  await bench.rest();
});

/** A row and its staged file. */
async function keep(bench: ReceiveBench, path: string, ageMs: number, verifiedBytes = 2 * MB): Promise<void> {
  const staged = `.mirrorsync-staging/new-${path}`;
  await put(`${bench.synced}/${staged}`, FILE.subarray(0, 1000));
  const updatedMs = Date.now() - ageMs;
  const row = { peer: bench.anna.number, path: path as RelativePath, staged, sizeBytes: 100 * MB };
  bench.store.partials.put({ ...row, verifiedBytes, sentBytes: verifiedBytes, updatedMs });
}

const kept = (bench: ReceiveBench) => bench.store.partials.list().map(({ path }) => path as string);

/** The disk has so much room from now on. */
function freeIs(bench: ReceiveBench, bytes: number): void {
  bench.tree.freeBytes = () => Promise.resolve(bytes);
}

Deno.test("partials: while the program runs, those that are too old, too many or too large for the disk go", async () => {
  await using bench = await ReceiveBench.open();
  const day = 24 * 3600 * 1000;
  for (let i = 0; i < 12; i++) await keep(bench, `p${i}`, i * day + 60_000);
  await bench.receiver.sweep();
  assert.deepEqual(kept(bench), ["p0", "p1", "p2", "p3", "p4", "p5", "p6"], "younger than seven days");
  for (const path of ["q0", "q1", "q2"]) await keep(bench, path, 1000);
  await bench.receiver.sweep();
  assert.equal(kept(bench).length, 8, "eight at most");
  assert.equal(staged(bench).length, 8, "the others are not on the disk any more");
  await keep(bench, "large0", 20, 300 * MB);
  await keep(bench, "large1", 10, 300 * MB);
  freeIs(bench, 500 * MB);
  await bench.receiver.sweep();
  const [latest, ...others] = kept(bench);
  assert.equal(latest, "large1");
  assert.ok(others.length > 0 && !others.includes("large0"), "no more than what is free beside them");
  freeIs(bench, 40 * MB);
  await bench.receiver.sweep();
  assert.deepEqual(kept(bench), ["large1"], "the latest stays while there is any room");
  freeIs(bench, 5 * MB);
  await bench.receiver.sweep();
  assert.deepEqual([kept(bench), staged(bench)], [[], []]);
});

Deno.test("partials: a file that needs the room gets it; what is here of it needs none again", async () => {
  const { bench, anna } = await withBeginning();
  await using _ = bench;
  // Too little for the whole file, enough for its rest.
  freeIs(bench, 20 * MB);
  await keep(bench, "other", 1000, 50 * MB);
  const [offset] = await resumed(anna, operation("create", "a/big", FILE).id, "a/big");
  assert.equal(offset, 5 * MB);
  assert.ok(await exists(`${bench.synced}/.mirrorsync-staging/new-other`));
  await anna.accepted(operation("create", "small", "s"), "s");
  let free = 1 * MB;
  bench.tree.freeBytes = () => Promise.resolve(free);
  bench.tree.after = ({ method, args }) => {
    if (method === "unlink" && args[0] === ".mirrorsync-staging/new-other") free = 100 * MB;
  };
  await eventually(
    "the reading of before is out of date",
    () =>
      anna.accepted(operation("create", "next", "n"), "n").then(() =>
        assert.equal(kept(bench).includes("other"), false)
      ),
    { everyMs: 100 },
  );
});

Deno.test("partials: a refusal for want of room leaves the beginning for when there is some", async () => {
  const { bench, anna } = await withBeginning();
  await using _ = bench;
  freeIs(bench, 1 * MB);
  await eventually("there is no room", async () => {
    assert.equal((await anna.request(operation("create", "s", "s"), "s")).header.code, "no_space");
  }, { everyMs: 100 });
  const refused = await anna.refused(
    { action: "piece", ...{ id: "1", path: "a/big", size: FILE.length, offset: 0, length: 1 } },
    "x",
  );
  assert.equal(refused.code, "no_space");
  freeIs(bench, 1000 * MB);
  await eventually("there is room", async () => {
    assert.equal((await anna.request(operation("create", "s", "s"), "s")).header.status, "ok");
  }, { everyMs: 100 });
  const [offset] = await resumed(anna, operation("create", "a/big", FILE).id, "a/big");
  assert.equal(offset, 5 * MB);
  await bench.cut(anna);
  await bench.receiver.completed(bench.anna);
  await bench.rest();
});
