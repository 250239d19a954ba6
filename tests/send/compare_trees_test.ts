import assert from "node:assert/strict";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { eventually } from "../helpers/eventually.ts";
import { copiesIn } from "../receive/support.ts";
import { Both } from "./both.ts";

const D_A = "d/a" as RelativePath;

Deno.test("compare: trees that are the same need no operation", async () => {
  await using both = await Both.mirrored();
  const before = both.into.received.length;
  both.connect();
  await both.same();
  assert.equal(both.into.received.length, before);
});

Deno.test("compare: acks that were lost are found, and nothing is written again", async () => {
  await using both = await Both.mirrored();
  const inode = (await Deno.stat(`${both.into.synced}/d/a`)).ino;
  const { store, peer } = both.out;
  for (const { path } of store.acked.below(peer, "")) {
    store.acked.remove(peer, path);
    // Its hash is noted with the ack.
    const observed = store.observed.get(path)!;
    if (observed.kind === "file") store.observed.put({ ...observed, hash: null });
  }
  both.connect();
  await both.same();
  // What was sent is in the log although no ack ever came.
  const rows = store.log.newest(100, "d/a").filter(({ direction, status }) =>
    direction === "sent" && status === "ok"
  );
  assert.equal(rows.length, 2);
  assert.equal((await Deno.stat(`${both.into.synced}/d/a`)).ino, inode);
});

Deno.test("compare: rows that the receiver lost are sent again and adopted", async () => {
  await using both = await Both.mirrored();
  const { store, anna } = both.into;
  for (const { path } of store.synced.page(anna.number, "", 100)) store.synced.remove(anna.number, path);
  both.connect();
  await both.same();
});

Deno.test("compare: a sender's database from a backup that believes in older versions is corrected", async () => {
  await using both = await Both.mirrored();
  const { store, peer } = both.out;
  const state = store.acked.get(peer, D_A)!;
  store.acked.put(peer, D_A, { ...state, hash: "0".repeat(64) });
  store.acked.put(peer, "phantom" as RelativePath, state);
  both.connect();
  await both.same();
  assert.equal(store.acked.get(peer, "phantom" as RelativePath), null);
});

Deno.test("compare: what the receiver has too much is deleted there", async () => {
  await using both = await Both.mirrored();
  // The sender's database was restored from before these were sent, and they have been deleted since.
  await Deno.remove(`${both.out.watched}/d`, { recursive: true });
  const { store, peer } = both.out;
  for (const path of ["d", "d/a", "d/b", "d/e", "d/e/c"] as RelativePath[]) {
    store.acked.remove(peer, path);
    store.observed.remove(path);
    store.pending.remove(peer, path);
  }
  both.connect();
  await both.same();
});

Deno.test("compare: a synced folder that somebody emptied is filled again", async () => {
  await using both = await Both.mirrored();
  for await (const { name } of Deno.readDir(both.into.synced)) {
    await Deno.remove(`${both.into.synced}/${name}`, { recursive: true });
  }
  both.connect();
  await both.same();
});

Deno.test("compare: an edit by hand is a conflict copy, and the peer's version comes back", async () => {
  await using both = await Both.mirrored();
  await Deno.writeTextFile(`${both.into.synced}/d/a`, "by hand");
  both.connect();
  await eventually("it is back", async () => {
    assert.equal(await Deno.readTextFile(`${both.into.synced}/d/a`), "content of d/a");
  }, { deadlineMs: 5000 });
  assert.equal((await copiesIn(both.into.synced)).length, 1);
});

Deno.test("compare: a folder replaced by a file comes back; the file is kept", async () => {
  await using both = await Both.mirrored();
  await Deno.remove(`${both.into.synced}/d`, { recursive: true });
  await Deno.writeTextFile(`${both.into.synced}/d`, "mine");
  both.connect();
  await eventually("it is back", async () => {
    assert.equal(await Deno.readTextFile(`${both.into.synced}/d/e/c`), "content of d/e/c");
  }, { deadlineMs: 8000 });
  assert.equal((await copiesIn(both.into.synced)).length, 1);
});

Deno.test("compare: a link that is cut at any moment leaves nothing behind that the next one cannot mend", async () => {
  await using both = await Both.mirrored();
  for (let round = 0; round < 8; round++) {
    const paths = [];
    for (let i = 0; i < 40; i++) {
      paths.push(`r${round}/f${i}`);
      await both.out.write(paths.at(-1)!, `round ${round} file ${i}`);
    }
    await Deno.writeTextFile(`${both.out.watched}/d/a`, `round ${round}`);
    const goal = both.into.received.length + round * 6;
    await both.out.observe(`r${round}`, "d/a", ...paths);
    await eventually("some have come", () => assert.ok(both.into.received.length >= goal), { everyMs: 1 });
    both.connect();
  }
  await both.same();
});
