import assert from "node:assert/strict";
import { eventually } from "../../helpers/eventually.ts";
import { type Pair, pair, type Peer } from "../../helpers/program.ts";
import { assertFile, put, snapshot } from "../../helpers/tree.ts";
import { assertSettled } from "./settled.ts";

/** Root passes by permissions because of two capabilities; without them its own files are closed to it as anybody's are. */
const AS_A_USER = Deno.uid() === 0 ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] : [];
/** Whether a process started so is really kept out: there may be no `setpriv`, or no permissions as on Windows. */
const works = await isKeptOut();

async function isKeptOut(): Promise<boolean> {
  if (Deno.build.os === "windows") return false;
  const file = await Deno.makeTempFile({ prefix: "mirrorsync-closed-" });
  try {
    await Deno.chmod(file, 0);
    const [program, ...args] = [...AS_A_USER, "cat", file];
    const { stderr } = await new Deno.Command(program!, { args }).output();
    return /denied/.test(new TextDecoder().decode(stderr));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  } finally {
    await Deno.remove(file);
  }
}

/** A test on two running peers whom permissions concern; ignored, with the reason in its name, where nobody can be kept out. */
function testWithPermissions(name: string, body: (pair: Pair) => Promise<void>): void {
  Deno.test({
    name: works ? name : `${name} (ignored: there is no setpriv, or permissions mean nothing here)`,
    ignore: !works,
    fn: async () => {
      await using peers = await pair({ inside: true });
      for (const peer of [peers.a, peers.b]) peer.under = AS_A_USER;
      await body(peers);
    },
  });
}

async function restart(peer: Peer): Promise<void> {
  await peer.stop();
  await peer.start();
}

/** Waits until a path is pending, and the reason speaks of permission. */
async function assertPendingForPermission(peer: Peer, path: string): Promise<void> {
  await eventually(`${path} is pending for a lack of permission`, async () => {
    const row = (await peer.query("SELECT path, reason FROM pending")).find((each) => each.path === path);
    assert.ok(row !== undefined, `${path} is not pending`);
    assert.match(String(row.reason), /permission/i, JSON.stringify(row));
  });
}

testWithPermissions(
  "what cannot be read in watched/ is unknown, not deleted; the rest goes on; right when it can be read",
  async (peers) => {
    const { a, b } = peers;
    const closed = `${a.watched}/closed`;
    for (let i = 0; i < 5; i++) await put(`${closed}/deep/${i}`, `${i}`);
    await put(`${a.watched}/secret`, "first");
    await Promise.all([a.start(), b.start()]);
    await assertSettled(peers);
    const before = await snapshot(b.synced);

    await Deno.chmod(`${a.watched}/secret`, 0);
    await put(`${a.watched}/secret`, "second");
    await Deno.chmod(closed, 0);
    await put(`${closed}/new`, "new");
    await put(`${closed}/deep/1`, "edited");
    await Deno.remove(`${closed}/deep/2`);
    // Known by its inode as something in there, which nobody lets us look at.
    await Deno.link(`${closed}/deep/3`, `${a.watched}/second name`);
    await put(`${a.watched}/marker`, "1");
    await assertFile(`${b.synced}/marker`, "1");
    await assertFile(`${b.synced}/second name`, "3");
    // A scan that sees nothing of it must not take it for gone.
    await restart(a);
    await put(`${a.watched}/marker`, "2");
    await assertFile(`${b.synced}/marker`, "2");
    await assertPendingForPermission(a, "secret");
    await eventually("status says what cannot be read, and what to do", async () => {
      assert.match((await a.ok("status")).stdout, /no permission to list closed: make it readable/);
    });
    const during = await snapshot(b.synced);
    for (const [path, entry] of before) {
      if (path !== "marker") assert.deepEqual(during.get(path), entry, path);
    }

    await Deno.chmod(`${a.watched}/secret`, 0o644);
    await Deno.chmod(closed, 0o755);
    await assertSettled(peers);
    await put(`${closed}/deep/afterwards`, "is watched again");
    await assertFile(`${b.synced}/closed/deep/afterwards`, "is watched again");
  },
);

testWithPermissions(
  "what cannot be written in synced/ is pending with the reason; the rest goes on; right when it can be",
  async (peers) => {
    const { a, b } = peers;
    for (const folder of ["locked", "hidden", "open"]) {
      for (let i = 0; i < 5; i++) await put(`${a.watched}/${folder}/${i}`, `${i}`);
    }
    await Promise.all([a.start(), b.start()]);
    await assertSettled(peers);
    const before = await snapshot(b.synced);

    await Deno.chmod(`${b.synced}/locked`, 0o555);
    await Deno.chmod(`${b.synced}/hidden`, 0);
    for (const folder of ["locked", "hidden", "open"]) {
      await put(`${a.watched}/${folder}/1`, "edited");
      await put(`${a.watched}/${folder}/new`, "new");
    }
    // After all that is new: what got the inode of something removed would pass for that under another name.
    for (const folder of ["locked", "hidden", "open"]) await Deno.remove(`${a.watched}/${folder}/2`);
    await assertFile(`${b.synced}/open/1`, "edited");
    await assertFile(`${b.synced}/open/new`, "new");
    for (const folder of ["locked", "hidden"]) {
      for (const name of ["1", "2", "new"]) await assertPendingForPermission(a, `${folder}/${name}`);
    }
    // What cannot be looked into when Bert starts has not been deleted by hand.
    await restart(b);
    await put(`${a.watched}/marker`, "2");
    await assertFile(`${b.synced}/marker`, "2");
    const during = await snapshot(b.synced);
    for (const [path, entry] of before) {
      if (!path.startsWith("open/")) assert.deepEqual(during.get(path), entry, path);
    }

    await Deno.chmod(`${b.synced}/locked`, 0o755);
    await Deno.chmod(`${b.synced}/hidden`, 0o755);
    await assertSettled(peers);
  },
);
