import assert from "node:assert/strict";
import { eventually } from "../../helpers/eventually.ts";
import type { JsonObject } from "../../helpers/json.ts";
import { pair, type Peer } from "../../helpers/program.ts";
import { assertFile, put, snapshot } from "../../helpers/tree.ts";
import { Prng } from "../../simulation/prng.ts";
import { assertSettled, problemsOf } from "./settled.ts";
import { Tmpfs } from "./tmpfs.ts";

const MIB = 1024 * 1024;
const allowed = await Tmpfs.isAllowed();

/** A test that mounts file systems; ignored, with the reason in its name, where that is not allowed. */
function testWithMounts(name: string, fn: () => Promise<void>): void {
  Deno.test({
    name: allowed ? name : `${name} (ignored: mounting a tmpfs is not allowed here)`,
    ignore: !allowed,
    fn,
  });
}

/** The row that says why a path is not at the peer yet. */
async function pendingRow(peer: Peer, path: string): Promise<JsonObject> {
  const row = (await peer.query("SELECT path, code, reason FROM pending")).find((each) => each.path === path);
  assert.ok(row !== undefined, `${path} is not pending`);
  return row;
}

testWithMounts(
  "synced/ on a disk that fills up: pending with the reason, nothing else suffers, right once there is room",
  async () => {
    await using peers = await pair({ inside: true });
    const { a, b } = peers;
    await using disk = await Tmpfs.mount(b.synced, 64 * MIB);
    for (let i = 0; i < 20; i++) await put(`${a.watched}/before/${i}`, `before ${i}`);
    await Promise.all([a.start(), b.start()]);
    await assertSettled(peers);
    const before = await snapshot(b.synced);

    // It fills up in the middle of a file.
    await put(`${a.watched}/large`, new Prng("large").bytes(30 * MIB));
    await eventually("something of the large file has come", () => {
      assert.ok([...Deno.readDirSync(`${b.synced}/.mirrorsync-staging`)].length > 0);
    }, { everyMs: 1 });
    disk.fillUp("Bert's own film");
    await eventually("the large file waits", async () => {
      assert.equal((await pendingRow(a, "large")).code, "no_space");
    });
    // What had come of it was given up for the others; that room goes, too.
    disk.fillUp("Bert's own film");
    await put(`${a.watched}/small`, "small");
    await put(`${a.watched}/before/1`, "edited");
    await Deno.remove(`${a.watched}/before/2`);
    await eventually("it is pending, and said why", async () => {
      for (const path of ["large", "small", "before/1"]) {
        const row = await pendingRow(a, path);
        assert.equal(row.code, "no_space", `${path}: ${JSON.stringify(row)}`);
      }
      assert.deepEqual((await problemsOf(a)).map(({ code }) => code), ["peer_no_space"]);
      assert.deepEqual((await problemsOf(b)).map(({ code }) => code), ["no_space"]);
    });
    assert.match((await a.ok("status")).stdout, /the disk of bert is full/);
    assert.match((await b.ok("status")).stdout, /the disk that holds .*synced is full/);
    // The other direction does not notice, and nothing that was there has suffered.
    await put(`${b.watched}/the other way`, "goes on");
    await assertFile(`${a.synced}/the other way`, "goes on");
    const during = await snapshot(b.synced);
    for (const [path, entry] of before) {
      if (path !== "before/2") assert.deepEqual(during.get(path), entry, path);
    }
    assert.ok(!during.has("large") && !during.has("small"), "nothing is seen half");

    await Deno.remove(`${b.synced}/Bert's own film`);
    await assertSettled(peers);
    await eventually("nobody says any more that a disk is full", async () => {
      assert.deepEqual([...await problemsOf(a), ...await problemsOf(b)], []);
    });
  },
);

testWithMounts(
  "the home on a disk that fills up: nothing is acknowledged that is not written down, right once there is room",
  async () => {
    await using peers = await pair({ inside: true });
    const { a, b } = peers;
    const kept = `${b.folder}/kept`;
    await Deno.rename(b.home, kept);
    await using disk = await Tmpfs.mount(b.home, 8 * MIB);
    for (const { name } of Deno.readDirSync(kept)) {
      await Deno.copyFile(`${kept}/${name}`, `${b.home}/${name}`);
    }
    for (let i = 0; i < 20; i++) await put(`${a.watched}/before/${i}`, `before ${i}`);
    await Promise.all([a.start(), b.start()]);
    await assertSettled(peers);

    disk.fillUp("somebody's");
    for (let i = 0; i < 300; i++) await put(`${a.watched}/new/${i}`, `new ${i} `.repeat(20));
    await put(`${a.watched}/before/1`, "edited");
    await Deno.remove(`${a.watched}/before/2`);
    for (let i = 0; i < 50; i++) await put(`${b.watched}/back/${i}`, `back ${i}`);
    await eventually("Bert says what is wrong", () => {
      assert.match(b.running!.stderr, /the disk that holds the database .* is full/);
    }, { hopeless: b.running!.hopeless });
    await eventually("something is pending at Anna, with the reason", async () => {
      const rows = await a.query("SELECT code, reason FROM pending WHERE code IS NOT NULL");
      assert.ok(rows.length > 0);
      for (const { reason } of rows) assert.match(String(reason), /full|space|room/);
    }, { hopeless: b.running!.hopeless });

    await Deno.remove(`${b.home}/somebody's`);
    await assertSettled(peers);
  },
);
