import assert from "node:assert/strict";
import { capture, type Captured } from "../cli/capture.ts";
import { eventually, pause } from "../helpers/eventually.ts";
import { jsonValues } from "../helpers/json.ts";
import { type Peer, runningPair } from "../helpers/program.ts";
import {
  assertContained,
  assertFile,
  assertGone,
  assertMirrored,
  exists,
  put,
  snapshot,
} from "../helpers/tree.ts";

function command(peer: Peer, ...args: string[]): Promise<Captured> {
  return capture(["--home", peer.home, ...args]);
}

/** What a command that has to succeed prints with `--json`. */
async function json(peer: Peer, ...args: string[]): Promise<Record<string, unknown>> {
  const { status, out, err } = await command(peer, ...args, "--json");
  assert.equal(status, 0, err);
  return jsonValues(out)[0] as Record<string, unknown>;
}

Deno.test("safety: what the peer deletes or replaces can be listed and brought back while both run", async () => {
  await using pair = await runningPair();
  const { a, b } = pair;
  const copy = `${b.synced}/docs`;
  await put(`${a.watched}/docs/plan.txt`, "first");
  await put(`${a.watched}/docs/deep/er.txt`, "deeper");
  await Deno.mkdir(`${a.watched}/docs/empty`);
  await assertMirrored(a.watched, b.synced);
  // The time of a version is known to the second.
  await pause(1100);
  const whileFirst = new Date();
  await Deno.writeTextFile(`${a.watched}/docs/plan.txt`, "second");
  await assertFile(`${copy}/plan.txt`, "second");
  await Deno.remove(`${a.watched}/docs`, { recursive: true });
  await assertGone(copy);

  const list = await command(b, "trash", "list", "--path", "docs/*.txt");
  assert.equal(list.status, 0);
  assert.match(list.out, /replaced +anna +5 B +docs\/plan\.txt\n/);
  assert.match(list.out, /deleted +anna +6 B +docs\/plan\.txt\n/);
  assert.match(list.err, /3 files in all .*restore PATH/);

  // A folder with its shape, beside its place; the version of a time; somewhere else.
  const folder = await json(b, "restore", "docs");
  const to = folder.to as string;
  assert.match(to, /\/synced\/docs\.restored-\d{8}-\d{6}$/);
  assert.deepEqual([...(await snapshot(to)).keys()].sort(), ["deep", "deep/er.txt", "empty", "plan.txt"]);
  assert.equal(await Deno.readTextFile(`${to}/plan.txt`), "second");
  const earlier = await command(
    b,
    "restore",
    "docs/plan.txt",
    "--at",
    whileFirst.toISOString(),
    "--to",
    `${pair.world.folder}/out`,
  );
  assert.equal(earlier.status, 0, earlier.err);
  assert.match(earlier.out, /^1 file \(5 B\) restored to .*\/out\/plan\.txt\n$/);
  assert.equal(await Deno.readTextFile(`${pair.world.folder}/out/plan.txt`), "first");
  // By its path on the disk; what is there is not replaced.
  assert.equal(
    (await command(b, "restore", `${b.synced}/docs/plan.txt`, "--to", `${pair.world.folder}/out`)).status,
    0,
  );
  assert.equal(await Deno.readTextFile(`${pair.world.folder}/out/plan.txt`), "first");
  const names = [...(await snapshot(`${pair.world.folder}/out`)).keys()];
  assert.ok(names.some((name) => /^plan\.restored-.*\.txt$/.test(name)), String(names));

  // What was restored into synced/ is nobody's: it stays, and is not sent.
  await put(`${a.watched}/other`, "other");
  await assertFile(`${b.synced}/other`, "other");
  assert.equal(await exists(`${to}/plan.txt`), true);
  assert.deepEqual([...(await snapshot(a.synced)).keys()], []);

  const status = await json(b, "status");
  assert.deepEqual((status.trash as { files: number }).files, 3);
  assert.equal((await command(b, "trash", "empty")).out, "3 files (17 B) removed for good.\n");
  assert.deepEqual([...Deno.readDirSync(`${b.home}/trash`)], []);
  assert.deepEqual(await json(b, "trash", "list"), []);
  const refused = await command(b, "restore", "docs");
  assert.equal(refused.status, 1);
  assert.match(refused.err, /the trash holds nothing of docs: .*trash list/);
});

Deno.test("safety: restore and trash say what is wrong with what they are given", async () => {
  await using pair = await runningPair();
  const { a, b } = pair;
  await put(`${a.watched}/f`, "content");
  await assertMirrored(a.watched, b.synced);
  await Deno.remove(`${a.watched}/f`);
  await assertGone(`${b.synced}/f`);
  const cases: [string[], number, RegExp][] = [
    [["restore", "../f"], 2, /not in the synced folder/],
    [["restore", "/etc/passwd"], 2, /not in the synced folder/],
    [["restore", "a//b"], 2, /empty component/],
    [["restore", "f", "--at", "yesterday"], 2, /"yesterday" is no time/],
    [["restore", "f", "--at", "2999-01-01"], 2, /still to come/],
    [["restore", "f", "--at", "2026-13-40"], 2, /is no time/],
    [["restore", "f", "--at", "30d"], 1, /holds nothing of f that was there at .* was there from/],
    [["restore", "f", "--to", ""], 2, /--to needs a folder/],
    [["restore", "f", "--to", `${a.watched}/../anna.pem/x`], 1, /cannot be made/],
    [["restore", "other"], 1, /the trash holds nothing of other/],
    [["trash", "list", "--limit", "0"], 2, /whole number/],
    [["trash", "empty", "--days", "x"], 2, /whole number of days/],
  ];
  for (const [args, status, mentions] of cases) {
    const said = await command(b, ...args);
    assert.equal(said.status, status, `${args.join(" ")}: ${said.err}`);
    assert.match(said.err, mentions, args.join(" "));
  }
  // A version that the disk has damaged is not given out as what it was.
  const [stored] = [...Deno.readDirSync(`${b.home}/trash`)];
  await Deno.writeTextFile(`${b.home}/trash/${stored!.name}`, "CONTENT");
  const damaged = await command(b, "restore", "f");
  assert.equal(damaged.status, 1);
  assert.match(damaged.out, /f could not be restored: the trash has f damaged/);
  assert.deepEqual([...(await snapshot(b.synced)).keys()], []);
  await Deno.remove(`${b.home}/trash/${stored!.name}`);
  assert.match((await command(b, "restore", "f")).out, /it is not in the trash any more/);
  assert.equal((await command(b, "trash", "empty", "--days", "1")).out, "Nothing was in the trash.\n");
  assert.equal((await command(b, "trash", "empty")).status, 0);
});

Deno.test("safety: a folder that goes is held, status and pending say why, confirm lets it go while run runs", async () => {
  await using pair = await runningPair();
  const { a, b } = pair;
  assert.equal((await command(a, "confirm")).out, "Nothing waits to be confirmed.\n");
  for (let i = 0; i < 60; i++) await put(`${a.watched}/photos/${i}.jpg`, `photo ${i}`);
  await assertMirrored(a.watched, b.synced);
  await Deno.remove(`${a.watched}/photos`, { recursive: true });
  await eventually("status says why", async () => {
    const { out } = await command(a, "status");
    assert.match(out, /! 60 of the 60 files in watched\/(photos)? would be deleted on bert at once/);
    assert.match(out, /61 deletions to be confirmed/);
  });
  const pending = await command(a, "pending");
  assert.match(pending.out, /bert +held +delete +photos\/0\.jpg\n +one of too many deletions at once/);
  await a.stop();
  // And while nothing runs.
  assert.match(
    (await command(a, "status")).out,
    /! 60 of the 60 files in watched\/(photos)? would be deleted on bert/,
  );
  const once = a.startOnce();
  assert.equal(await a.endOnce(), 1);
  assert.match(once.stderr, /61 paths not delivered/);
  assert.match(once.stderr, /60 of the 60 files in watched\/(photos)? would be deleted on bert at once/);
  assert.equal((await snapshot(b.synced, { hashes: false })).size, 61);
  await a.start();
  const confirmed = await command(a, "confirm");
  assert.match(confirmed.out, /^61 paths in watched\/(photos)? will be deleted on bert\.\n$/);
  await assertMirrored(a.watched, b.synced);
  assert.match((await command(a, "log", "--audit")).out, /deletions_confirmed/);
  // All of it is in the peer's trash.
  await put(`${a.watched}/new`, "new");
  await assertContained(a.watched, b.synced);
  assert.equal((await json(b, "restore", "photos", "--to", `${pair.world.folder}/back`)).files, 60);
});

interface Check {
  readonly part: string;
  readonly state: string;
  readonly found: string;
  readonly todo: string | null;
}

async function checks(peer: Peer, status: number): Promise<Check[]> {
  const said = await command(peer, "doctor", "--json");
  assert.equal(said.status, status, said.out + said.err);
  return (jsonValues(said.out)[0] as { checks: Check[] }).checks;
}

Deno.test("safety: doctor and status say what is well, and what is wrong with what to do", async () => {
  await using pair = await runningPair();
  const { a, b } = pair;
  await put(`${a.watched}/f`, "content");
  await assertMirrored(a.watched, b.synced);
  await eventually("the run has told of its link", async () => {
    assert.match(
      (await command(a, "status")).out,
      /health +link, disk, watcher, scan, database, clock: all well\n/,
    );
  });
  const well = await checks(a, 0);
  assert.deepEqual(well.filter(({ state }) => state !== "ok"), []);
  const parts = [
    "config",
    "identity",
    "certificate",
    "folders",
    "disk",
    "port",
    "limits",
    "database",
    "watcher",
    "scan",
    "clock",
    "peer",
  ];
  assert.deepEqual([...new Set(well.map(({ part }) => part))].sort(), parts.sort());
  assert.match((await command(a, "doctor")).out, /✓ clock +the clocks here and on bert agree\n/);
  const status = await json(a, "status");
  assert.equal((status.peers as { clockAheadMs: number }[])[0]!.clockAheadMs, 0);

  // The other side is away.
  await b.stop();
  await eventually("it is noticed", async () => {
    assert.match((await command(a, "status")).out, /health +link: see below; the rest is well/);
  });
  const away = await checks(a, 1);
  const peer = away.find(({ part }) => part === "peer")!;
  assert.equal(peer.state, "failed");
  assert.match(peer.found, /bert cannot be reached: .*127\.0\.0\.1/);
  assert.match(peer.todo!, /see that mirrorsync runs there/);

  // Somebody else has the port, a folder is missing, the config cannot be read, the certificates have been mixed up.
  await a.stop();
  await b.start();
  {
    using _other = Deno.listen({ hostname: "127.0.0.1", port: a.port });
    await Deno.rename(a.synced, `${a.synced}-away`);
    await Deno.writeTextFile(`${a.home}/mirrorsync.toml`, `listen = "${a.address}"\nno_such_key = 1\n`);
    const wrong = await checks(a, 1);
    const of = (part: string) => wrong.filter((check) => check.part === part && check.state === "failed");
    assert.match(of("config")[0]!.found, /there is no key no_such_key/);
    assert.match(of("folders")[0]!.found, /the synced folder .* does not exist/);
    assert.match(of("folders")[0]!.todo!, /nothing is deleted on a peer/);
    assert.match(of("disk")[0]!.found, /synced .*cannot be looked at/);
    await Deno.rename(a.watched, `${a.watched}-away`);
    const gone = (await checks(a, 1)).filter(({ state }) => state === "failed").map(({ part }) => part);
    assert.ok(
      gone.includes("folders") && !gone.includes("limits"),
      "no limit is blamed for a folder that is gone",
    );
    await Deno.rename(`${a.watched}-away`, a.watched);
    await Deno.writeTextFile(`${a.home}/mirrorsync.toml`, `listen = "${a.address}"\n`);
    assert.match((await checks(a, 1)).find(({ part }) => part === "port")!.found, /another program has it/);
    // Nothing runs here: the peer is tried all the same.
    assert.match(
      (await checks(a, 1)).find(({ part }) => part === "peer")!.found,
      /bert answers at .*, is who it should be, and takes us/,
    );
  }
  await Deno.rename(`${a.synced}-away`, a.synced);
  await b.ok("peer", "remove", "anna");
  assert.match(
    (await checks(a, 1)).find(({ part }) => part === "peer")!.found,
    /does not trust this peer's certificate|trusts no peer yet/,
  );
  await Deno.copyFile(`${b.home}/cert.pem`, `${a.home}/cert.pem`);
  const mixed = await checks(a, 1);
  assert.deepEqual(mixed.map(({ part, state }) => `${part} ${state}`), [
    "config ok",
    "identity failed",
    "database ok",
  ]);
});
