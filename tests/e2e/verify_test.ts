import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { eventually } from "../helpers/eventually.ts";
import type { JsonObject } from "../helpers/json.ts";
import { type Pair, type Peer, runningPair, said } from "../helpers/program.ts";
import { assertMirrored, put, sha256 } from "../helpers/tree.ts";

const BIG = new Uint8Array(2_000_000);
for (let at = 0; at < BIG.length; at += 50_000) crypto.getRandomValues(BIG.subarray(at, at + 50_000));

/** What a failing disk does, while nothing runs: other bytes under the stat that the database remembers. */
async function rot(peer: Peer, side: "watched" | "synced", path: string, at: number): Promise<void> {
  const file = `${peer[side]}/${path}`;
  const { mtime } = await Deno.stat(file);
  const bytes = await Deno.readFile(file);
  bytes[at]! ^= 0xff;
  {
    using open = await Deno.open(file, { write: true });
    await open.write(bytes);
  }
  await Deno.utime(file, mtime!, mtime!);
  const ctimeMs = (await Deno.stat(file)).ctime!.getTime();
  // A write gives a file another ctime, which cannot be put back: so the database is made to remember that one.
  const database = new DatabaseSync(await peer.databasePath());
  const column = side === "watched" ? "ctime_ms" : "disk_ctime_ms";
  const table = side === "watched" ? "observed" : "synced";
  const { changes } = database.prepare(`UPDATE ${table} SET ${column} = ? WHERE path = ?`).run(ctimeMs, path);
  database.close();
  assert.equal(changes, 1);
}

async function inSync({ a, b }: Pair): Promise<void> {
  for (const peer of [a, b]) {
    await eventually(`${peer.name} is in sync`, async () => {
      const rows = await peer.objects("status");
      assert.ok(rows.some(({ inSync }) => inSync === true));
      const open = await peer.query("SELECT path FROM observed WHERE hash IS NULL OR provisional = 1");
      assert.deepEqual(open, []);
    }, { deadlineMs: 20_000 });
  }
}

async function stop({ a, b }: Pair): Promise<void> {
  await Promise.all([a.stop(), b.stop()]);
}

async function start(pair: Pair): Promise<void> {
  await Promise.all([pair.a.start(), pair.b.start()]);
  await inSync(pair);
}

Deno.test("verify finds what a disk has lost, with its place, and --repair fetches it; the exit statuses say how it went", async (t) => {
  await using pair = await runningPair();
  const { a, b } = pair;
  await put(`${a.watched}/album/x.bin`, BIG);
  await put(`${b.watched}/y.bin`, BIG);
  await put(`${b.watched}/small.txt`, "small");
  await assertMirrored(a.watched, b.synced);
  await assertMirrored(b.watched, a.synced);
  await inSync(pair);

  await t.step("all is well: 0", async () => {
    const outcome = await a.ok("verify");
    assert.match(outcome.stdout, /all that was read is as it should be/);
    assert.match(outcome.stdout, /on bert: 3 files, 4 MB read/);
    const value = JSON.parse((await a.ok("verify", "--json")).stdout) as JsonObject;
    assert.equal(value.well, true);
    assert.deepEqual(value.findings, []);
    assert.deepEqual(await a.query("SELECT key FROM facts WHERE key LIKE 'verify/%'"), []);
  });

  await stop(pair);
  await rot(b, "synced", "album/x.bin", 1_000_000);
  await rot(a, "synced", "small.txt", 1);
  await rot(b, "watched", "y.bin", 5);

  await t.step("nothing runs: this side alone; 1, and --repair is 75 and changes nothing", async () => {
    const alone = await a.command("verify");
    assert.equal(alone.code, 1, said(alone));
    assert.match(alone.stdout, /^synced\/small\.txt: somewhere in its 5 bytes it is damaged$/m);
    assert.match(alone.stdout, /^bert was not asked: mirrorsync is not running here$/m);
    const repair = await a.command("verify", "--repair");
    assert.equal(repair.code, 75, said(repair));
    assert.match(repair.stderr, /mirrorsync .*run/);
    assert.equal(repair.stdout, "");
  });

  await t.step("the other side is away: 1 without, 75 with --repair", async () => {
    await a.start();
    const found = await a.command("verify");
    assert.equal(found.code, 1, said(found));
    assert.match(found.stdout, /bert was not asked: there is no link with bert/);
    const repair = await a.command("verify", "--repair");
    assert.equal(repair.code, 75, said(repair));
    await a.stop();
  });

  await start(pair);

  await t.step("both sides are told of, by range: 1", async () => {
    const found = await a.command("verify");
    assert.equal(found.code, 1, said(found));
    assert.match(found.stdout, /^synced\/small\.txt: somewhere in its 5 bytes it is damaged$/m);
    assert.match(found.stdout, /^on bert: synced\/album\/x\.bin: bytes [\d,]+ to [\d,]+ are damaged$/m);
    assert.match(found.stdout, /^on bert: watched\/y\.bin: bytes 0 to [\d,]+ are damaged$/m);
    assert.match(found.stdout, /not everything is as it should be: 3 damaged/);
    // Each side goes on saying so of its own disk.
    for (const [peer, told] of [[a, "synced/small.txt"], [b, "watched/y.bin, synced/album/x.bin"]] as const) {
      await eventually(`${peer.name} says so in its status`, async () => {
        const { stdout } = await peer.command("status");
        assert.match(stdout, /damaged on this disk .*verify --repair/);
        assert.ok(stdout.includes(`(${told})`), stdout);
      });
    }
  });

  await t.step("--repair puts it right: 0, and then all is well", async () => {
    const repaired = await a.ok("verify", "--repair");
    assert.equal(repaired.stdout.match(/: repaired$/gm)?.length, 3, said(repaired));
    assert.match(repaired.stdout, /all that was read is as it should be: 3 damaged, 3 repaired/);
    for (const file of [`${b.synced}/album/x.bin`, `${b.watched}/y.bin`, `${a.synced}/y.bin`]) {
      assert.equal(sha256(await Deno.readFile(file)), sha256(BIG), file);
    }
    await inSync(pair);
    await assertMirrored(a.watched, b.synced);
    await assertMirrored(b.watched, a.synced);
    for (const peer of [a, b]) {
      await eventually(`${peer.name} says nothing of it any more`, async () => {
        assert.doesNotMatch((await peer.command("status")).stdout, /damaged/);
      });
    }
    assert.match((await b.ok("verify")).stdout, /all that was read is as it should be/);
    assert.ok((await a.rows("small.txt", "log")).some(({ action }) => action === "damage"));
  });
});
