import assert from "node:assert/strict";
import { eventually } from "../helpers/eventually.ts";
import { isObject, type JsonObject } from "../helpers/json.ts";
import { pair, type Peer } from "../helpers/program.ts";
import { exists, sha256 } from "../helpers/tree.ts";

const MIB = 1024 * 1024;
const SIZE = 200 * MIB;
/** What may travel twice. */
const TWICE = 8 * MIB;
/** Headers, credit and the hello, as a share of the file. */
const AROUND = 0.002;

async function status(peer: Peer): Promise<JsonObject> {
  const value: unknown = JSON.parse((await peer.ok("status", "--json")).stdout);
  assert.ok(isObject(value));
  return value;
}

/** Bytes of the largest file in a peer's staging folder. */
function stagedBytes(peer: Peer): number {
  const folder = `${peer.synced}/.mirrorsync-staging`;
  try {
    return Math.max(
      0,
      ...[...Deno.readDirSync(folder)].map(({ name }) => Deno.statSync(`${folder}/${name}`).size),
    );
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

for (const victim of ["sender", "receiver"] as const) {
  Deno.test(`resume: the ${victim} killed at any moment of a large transfer, at most 8 MiB travel twice`, async () => {
    await using peers = await pair({ dials: "a" });
    const { a, b } = peers;
    // Without a limit the window is larger, and so is what can be lost of it.
    const limit = victim === "sender" ? ["--limit", "200MB/s"] : [];
    const content = new Uint8Array(SIZE);
    for (let at = 0; at < SIZE; at += 65_536) crypto.getRandomValues(content.subarray(at, at + 65_536));
    await Deno.writeFile(`${a.watched}/large`, content);
    const killAt = Math.floor((0.05 + 0.9 * Math.random()) * SIZE);
    const moment = `killed at ${killAt} of ${SIZE} bytes`;
    await Promise.all([a.start(...limit), b.start(...limit)]);
    await eventually("the moment has come", () => assert.ok(stagedBytes(b) >= killAt), { everyMs: 2 });
    const [killed, other] = victim === "sender" ? [a, b] : [b, a];
    await killed.kill();
    assert.equal(await exists(`${b.synced}/large`), false, "nothing is seen half");
    await killed.start(...limit);
    await eventually(
      "the file is there",
      () => exists(`${b.synced}/large`).then((there) => assert.ok(there)),
      {
        deadlineMs: 60_000,
      },
    );
    assert.equal(sha256(await Deno.readFile(`${b.synced}/large`)), sha256(content), moment);
    const { total } = await eventually("both say so", async () => {
      const [ours, theirs] = await Promise.all([status(other), status(a)]);
      assert.equal((theirs.peers as JsonObject[])[0]?.inSync, true);
      const { sentBytes, receivedBytes } = ours.total as JsonObject;
      assert.ok(Number(victim === "sender" ? receivedBytes : sentBytes) > SIZE / 2);
      return ours;
    });
    // The one that lived has counted what travelled before and after.
    const { sentBytes, receivedBytes } = total as JsonObject;
    const travelled = Number(victim === "sender" ? receivedBytes : sentBytes);
    const twice = travelled - SIZE * (1 + AROUND);
    assert.ok(twice <= TWICE, `${moment}: ${(twice / MIB).toFixed(2)} MiB travelled twice`);
    await eventually("nothing is left", () => assert.equal(stagedBytes(b), 0));
  });
}

for (const before of ["nothing", "another file"] as const) {
  Deno.test(`resume: a file in the place of ${before} that changed near its start meanwhile goes on with all of what came that still fits`, async () => {
    await using peers = await pair({ dials: "a" });
    const { a, b } = peers;
    const told = async () => {
      const { peers: [peer], total } = await status(a) as JsonObject & {
        peers: JsonObject[];
        total: JsonObject;
      };
      assert.equal(peer?.inSync, true);
      return Number(total.sentBytes);
    };
    if (before === "another file") {
      await Deno.writeFile(`${a.watched}/large`, crypto.getRandomValues(new Uint8Array(65_536)));
      await Deno.truncate(`${a.watched}/large`, MIB);
    }
    const content = new Uint8Array(SIZE);
    for (let at = 0; at < SIZE; at += 65_536) crypto.getRandomValues(content.subarray(at, at + 65_536));
    await Promise.all([a.start(), b.start()]);
    const sentBefore = await eventually("they are in sync", told);
    await Deno.writeFile(`${a.watched}/large`, content);
    const killAt = 0.6 * SIZE;
    await eventually("most of it has come", () => assert.ok(stagedBytes(b) >= killAt), { everyMs: 2 });
    await b.kill();
    // A change at 10 MiB, and ten bytes more at 60 MiB.
    crypto.getRandomValues(content.subarray(10 * MIB, 10 * MIB + 1000));
    const changed = new Uint8Array(SIZE + 10);
    changed.set(content.subarray(0, 60 * MIB));
    changed.set(content.subarray(60 * MIB), 60 * MIB + 10);
    await Deno.writeFile(`${a.watched}/large`, changed);
    await b.start();
    await eventually("the new version is there", async () => {
      const { size } = await Deno.stat(`${b.synced}/large`);
      assert.equal(size, changed.length);
    }, { deadlineMs: 60_000 });
    assert.equal(sha256(await Deno.readFile(`${b.synced}/large`)), sha256(changed));
    const sent = await eventually("the sender says so", told) - sentBefore;
    // Once what was on its way at the kill, and once until what is here has been described.
    const twice = sent - changed.length * (1 + AROUND);
    assert.ok(twice <= 2 * TWICE, `${(twice / MIB).toFixed(2)} MiB travelled twice`);
    await eventually("nothing is left", () => assert.equal(stagedBytes(b), 0));
  });
}
