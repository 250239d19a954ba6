import assert from "node:assert/strict";
import { eventually } from "../helpers/eventually.ts";
import { isObject, type JsonObject } from "../helpers/json.ts";
import { makeIdentity, operation, PlainClient } from "../helpers/plain_client.ts";
import { PlainServer } from "../helpers/plain_server.ts";
import { freePort, mirrorsync, pair, type Peer, World } from "../helpers/program.ts";
import { assertFile, exists, put, sha256 } from "../helpers/tree.ts";

const RATE = 500_000;
const LARGE_BYTES = 3_000_000;
/** What may go beside the rate: what is caught up after a rest, and a slice. */
const BURST_BYTES = 0.1 * RATE;

/** Bytes that nothing packs. */
function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

/** What `status --json` says. */
async function status(peer: Peer): Promise<JsonObject> {
  const value: unknown = JSON.parse((await peer.ok("status", "--json")).stdout);
  assert.ok(isObject(value));
  return value;
}

async function inSync(peer: Peer): Promise<void> {
  await eventually(`${peer.name} is in sync`, async () => {
    const [other] = (await status(peer)).peers as JsonObject[];
    assert.equal(other?.inSync, true);
  });
}

/** What took `seconds` was no faster than the limit, and at least half as fast. */
function assertAtRate(bytes: number, seconds: number): void {
  assert.ok(bytes <= RATE * seconds * 1.05 + BURST_BYTES, `${bytes} bytes in ${seconds} s are too many`);
  assert.ok(bytes >= RATE * seconds / 2, `${bytes} bytes in ${seconds} s are too few`);
}

/** The only transfer of a peer, once its rate is known and it is past its beginning. */
async function transferOf(peer: Peer): Promise<JsonObject> {
  return await eventually(`the transfer of ${peer.name} has a rate`, async () => {
    const [transfer] = (await status(peer)).transfers as JsonObject[];
    assert.ok(
      transfer !== undefined && typeof transfer.bytesPerSecond === "number" && transfer.bytesPerSecond > 0,
    );
    assert.ok(Number(transfer.doneBytes) > RATE / 2);
    return transfer;
  });
}

for (const limited of ["a", "b"] as const) {
  const what = limited === "a" ? "sends" : "receives";
  Deno.test(`a peer that ${what} at a limit: saves come at once, the large file in its time, status tells of it`, async () => {
    await using peers = await pair();
    const { a, b } = peers;
    const flag = (peer: "a" | "b") => peer === limited ? ["--limit", "500KB/s"] : [];
    await Promise.all([a.start(...flag("a")), b.start(...flag("b"))]);
    await inSync(a);
    assert.equal((await status(peers[limited])).limitBytesPerSecond, RATE);
    assert.equal((await status(peers[limited === "a" ? "b" : "a"])).limitBytesPerSecond, null);
    assert.match((await peers[limited].ok("status")).stdout, /^ +limit +500 kB\/s in each direction$/m);

    const large = randomBytes(LARGE_BYTES);
    const start = performance.now();
    // Whole at once: what somebody is still writing goes out as it is when it has rested.
    await put(`${a.folder}/large`, large);
    await Deno.rename(`${a.folder}/large`, `${a.watched}/large`);
    const arrived = eventually("the large file is there", async () => {
      assert.equal((await Deno.stat(`${b.synced}/large`)).size, LARGE_BYTES);
      return (performance.now() - start) / 1000;
    }, { deadlineMs: 60_000, everyMs: 10 });

    const transfers = await Promise.all([transferOf(a), transferOf(b)]);
    for (
      const [i, { direction, path, doneBytes, sizeBytes, bytesPerSecond, leftMs }] of transfers.entries()
    ) {
      assert.deepEqual({ direction, path, sizeBytes }, {
        direction: i === 0 ? "sending" : "receiving",
        path: "large",
        sizeBytes: LARGE_BYTES,
      });
      const rate = Number(bytesPerSecond), left = LARGE_BYTES - Number(doneBytes);
      assert.ok(rate > RATE / 3 && rate < RATE * 1.2, `${rate} bytes a second`);
      assert.ok(left > 0);
      assert.ok(
        Math.abs(Number(leftMs) - left * 1000 / rate) < 10,
        `${leftMs} ms for ${left} bytes at ${rate}`,
      );
    }
    await put(`${a.watched}/save`, "small");
    await assertFile(`${b.synced}/save`, "small", { everyMs: 5 });
    assert.equal(await exists(`${b.synced}/large`), false, "the save did not wait for the large file");

    assertAtRate(LARGE_BYTES, await arrived);
    assert.equal(sha256(await Deno.readFile(`${b.synced}/large`)), sha256(large));
    await eventually("nothing is on its way any more", async () => {
      assert.deepEqual((await status(a)).transfers, []);
      assert.deepEqual((await status(b)).transfers, []);
    });
    // The other direction has a rate of its own, which is the same.
    const back = performance.now();
    await put(`${b.watched}/back`, large.subarray(0, LARGE_BYTES / 2));
    await eventually("the way back", async () => {
      assert.equal((await Deno.stat(`${a.synced}/back`)).size, LARGE_BYTES / 2);
    }, { deadlineMs: 60_000, everyMs: 10 });
    assertAtRate(LARGE_BYTES / 2, (performance.now() - back) / 1000);
  });
}

Deno.test("the plain protocol keeps to a limit of the config, in both directions", async (t) => {
  await using world = await World.create();
  const anna = await world.peer("anna");
  const identity = await makeIdentity("plain");
  await Deno.writeTextFile(`${world.folder}/plain.pem`, identity.certificate);
  const port = freePort();
  await anna.trust(`${world.folder}/plain.pem`, { name: "plain", address: `127.0.0.1:${port}` });
  const config = `${anna.home}/mirrorsync.toml`;
  await Deno.writeTextFile(config, `${await Deno.readTextFile(config)}\nlimit = "500KB/s"\n`);
  await anna.start();
  const content = randomBytes(LARGE_BYTES / 2);

  await t.step("what a client sends is read no faster, and is told as a transfer", async () => {
    await using client = await PlainClient.connect({ port: anna.port, server: anna.certificate, identity });
    const start = performance.now();
    const accepted = client.accepted(operation("create", "large", content), content);
    const transfer = await transferOf(anna);
    assert.deepEqual([transfer.direction, transfer.path], ["receiving", "large"]);
    await accepted;
    assertAtRate(content.length, (performance.now() - start) / 1000);
  });

  await t.step("a peer without hello is sent whole files no faster", async () => {
    await put(`${anna.watched}/large`, content);
    const start = performance.now();
    await using server = await PlainServer.listen(port, { identity, trusts: [anna.certificate] });
    await eventually("the file is there", () => assert.ok(server.files.has("large")), {
      everyMs: 5,
      deadlineMs: 60_000,
    });
    assert.deepEqual(server.files.get("large")!.content, content);
    // When it began is not known: at the earliest when there was somebody to dial.
    const seconds = (performance.now() - start) / 1000;
    assert.ok(content.length <= RATE * seconds * 1.05 + BURST_BYTES, `${seconds} s`);
    assert.deepEqual(server.violations, []);
  });

  await t.step("a flag wins over the config", async () => {
    assert.equal((await status(anna)).limitBytesPerSecond, RATE);
    await anna.stop();
    await anna.start("--limit", "none");
    await eventually("it has no limit", async () => {
      const { started, limitBytesPerSecond } = await status(anna);
      assert.notEqual(started, null);
      assert.equal(limitBytesPerSecond, null);
    });
  });
});

Deno.test("a limit that is none is refused with what is accepted: 2 for the flag, 1 for the config", async () => {
  await using world = await World.create();
  const anna = await world.peer("anna");
  const flag = await mirrorsync(anna.runArguments("--limit", "2Mb/s"));
  assert.equal(flag.code, 2);
  assert.match(
    flag.stderr,
    /--limit.*"2Mb\/s" is not clear: a small b stands for bits.*2MB\/s, 500KB\/s, 1\.5MiB\/s/,
  );
  const config = `${anna.home}/mirrorsync.toml`;
  await Deno.writeTextFile(config, 'limit = "fast"\n');
  const file = await mirrorsync([...anna.runArguments(), "--json"]);
  assert.equal(file.code, 1);
  const { error } = JSON.parse(file.stdout) as { error: { code: string; message: string } };
  assert.equal(error.code, "bad_config");
  assert.match(
    error.message,
    /mirrorsync\.toml, line 1: limit must be bytes a second.*: "fast" is not a rate/,
  );
});
