import assert from "node:assert/strict";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { DiskTree } from "../../src/system/disk_tree.ts";
import {
  isWell,
  readVerifyFact,
  type VerifiedFinding,
  VERIFY_FACTS,
  type VerifyResult,
} from "../../src/verify/result.ts";
import { eventually } from "../helpers/eventually.ts";
import { put, sha256 } from "../helpers/tree.ts";
import { assertAtRest, copiesIn } from "../receive/support.ts";
import { type Home, Pair } from "./pair.ts";

/** Bytes that no two stretches of are alike, other ones for each seed. */
function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed * 2654435761 >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state & 255;
  }
  return bytes;
}

const BIG = noise(12_000_000, 1);
const SMALL = noise(30_000, 2);

/**
 * What a failing disk does, while nobody runs: other bytes under the same stat. A write gives a file another ctime, which cannot be
 * put back, so the row is made to remember that one.
 */
async function rot(
  home: Home,
  side: "watched" | "synced",
  path: string,
  at: number,
  length = 8,
): Promise<void> {
  const file = `${home[side]}/${path}`;
  const { mtime } = await Deno.stat(file);
  {
    using open = await Deno.open(file, { read: true, write: true });
    const bytes = new Uint8Array(length);
    await open.seek(at, Deno.SeekMode.Start);
    await open.read(bytes);
    await open.seek(at, Deno.SeekMode.Start);
    await open.write(bytes.map((byte) => byte ^ 0xff));
  }
  await Deno.utime(file, mtime!, mtime!);
  const stat = await new DiskTree(home[side]).lstat(path);
  home.command((store) => {
    if (side === "watched") {
      const row = store.observed.get(path as RelativePath)!;
      assert.ok(row.hash !== null, `${path} has a hash`);
      store.observed.put({ ...row, ctimeMs: stat!.ctimeMs, mtimeMs: stat!.mtimeMs, provisional: false });
    } else {
      const [row] = store.synced.page(1, "", 1000).filter((each) => each.path === path);
      store.synced.put({ ...row!, disk: stat! });
    }
  });
}

/** What `mirrorsync verify` does while a run is going. */
async function verify(home: Home, repair = false): Promise<VerifyResult> {
  const key = `${VERIFY_FACTS}${crypto.randomUUID()}`;
  home.command((store) => store.facts.set(key, { state: "asked", repair }));
  let result: VerifyResult | null = null;
  await eventually("verified", () => {
    const fact = readVerifyFact(home.command((store) => store.facts.get(key)));
    assert.equal(fact?.state, "done", JSON.stringify(fact));
    if (fact?.state === "done") result = fact.result;
  }, { deadlineMs: 40_000 });
  home.command((store) => store.facts.remove(key));
  return result!;
}

/** A pair that is mirrored, with a large and a small file of Anna's and of Bert's, and that no longer runs. */
async function rested(): Promise<Pair> {
  const pair = await Pair.make();
  for (const home of [pair.anna, pair.bert]) {
    await put(`${home.watched}/d/big`, BIG);
    await put(`${home.watched}/small`, SMALL);
    await put(`${home.watched}/other`, "other");
  }
  await pair.start();
  await pair.mirrored();
  await eventually("in sync", () => {
    for (const home of [pair.anna, pair.bert]) {
      assert.equal(home.running!.status().peers[0]?.inSync, true);
      for (const path of ["d/big", "small", "other"]) {
        assert.equal(
          home.command((store) => store.observed.get(path as RelativePath))?.provisional,
          false,
          `${path} of ${home.identity.name} was read once more`,
        );
      }
    }
  }, { deadlineMs: 15_000 });
  await pair.stop();
  return pair;
}

async function linked(pair: Pair): Promise<void> {
  await pair.start();
  await eventually("linked and in sync", () => {
    for (const home of [pair.anna, pair.bert]) {
      assert.equal(home.running!.status().peers[0]?.inSync, true);
    }
  }, { deadlineMs: 10_000 });
}

async function assertRight(pair: Pair): Promise<void> {
  for (const home of [pair.anna, pair.bert]) {
    for (const side of [home.watched, home.synced]) {
      assert.equal(sha256(await Deno.readFile(`${side}/d/big`)), sha256(BIG), `${side}/d/big`);
      assert.equal(sha256(await Deno.readFile(`${side}/small`)), sha256(SMALL), `${side}/small`);
    }
    await assertAtRest(home.synced);
    assert.deepEqual(await copiesIn(home.synced), []);
    await eventually("no staging folder in watched/", async () => {
      for await (const { name } of Deno.readDir(home.watched)) assert.ok(!name.startsWith("."), name);
    });
    home.assertQuiet();
  }
}

function shown({ peer, side, path, verdict, repaired }: VerifiedFinding): string {
  return `${peer ?? "here"} ${side}/${path} ${verdict}${repaired ? ", repaired" : ""}`;
}

/** Whether the damage is inside the ranges, and they are not much more than it. */
function assertRanges(finding: VerifiedFinding, at: number): void {
  assert.equal(finding.ranges.length, 1, JSON.stringify(finding.ranges));
  const [from, to] = finding.ranges[0]!;
  assert.ok(from <= at && to > at && to - from <= 16_384, `${from} to ${to} for ${at}`);
}

function traffic(home: Home): number {
  const { sentBytes, receivedBytes } = home.running!.status().total;
  return sentBytes + receivedBytes;
}

Deno.test("verify: all is well on both sides, and nothing travels for it", async () => {
  await using pair = await rested();
  await linked(pair);
  const before = traffic(pair.anna);
  const result = await verify(pair.anna, true);
  assert.ok(isWell(result));
  assert.deepEqual(result.findings, []);
  const bytes = BIG.length + SMALL.length + 5;
  assert.deepEqual(result.watched, { files: 3, bytes });
  assert.deepEqual(result.synced, { files: 3, bytes });
  const [bert] = result.peers;
  assert.deepEqual(bert, {
    ...{ name: "bert", state: "verified", reason: null, more: 0, differencesHere: 0, differencesThere: 0 },
    ...{ watched: { files: 3, bytes }, synced: { files: 3, bytes } },
  });
  assert.ok(traffic(pair.anna) - before < 5_000, `${traffic(pair.anna) - before} bytes`);
});

Deno.test("verify: damage in synced/, here and there, is told with its range and repaired with little traffic", async () => {
  await using pair = await rested();
  const { anna, bert } = pair;
  await rot(anna, "synced", "d/big", 5_000_000);
  await rot(bert, "synced", "d/big", 7_000_000);
  await rot(bert, "synced", "small", 100);
  await linked(pair);
  const found = await verify(anna);
  assert.deepEqual(found.findings.map(shown).sort(), [
    "bert synced/d/big damaged",
    "bert synced/small damaged",
    "here synced/d/big damaged",
  ]);
  assert.equal(isWell(found), false);
  assertRanges(found.findings.find(({ peer }) => peer === null)!, 5_000_000);
  assertRanges(found.findings.find(({ peer, path }) => peer === "bert" && path === "d/big")!, 7_000_000);
  assert.deepEqual(found.findings.find(({ path }) => path === "small")!.ranges, [[0, SMALL.length]]);
  const before = traffic(anna);
  const repaired = await verify(anna, true);
  assert.deepEqual(repaired.findings.filter((finding) => !finding.repaired), []);
  assert.equal(repaired.findings.length, 3);
  assert.ok(isWell(repaired));
  // The lists of chunks are known on both sides; of two damaged chunks each and a small file nothing else has to travel but questions.
  const bytes = traffic(anna) - before;
  assert.ok(bytes < SMALL.length + 100_000, `${bytes} bytes travelled`);
  await assertRight(pair);
  for (const [home, path] of [[anna, "d/big"], [bert, "d/big"], [bert, "small"]] as const) {
    const rows = home.command((store) => store.log.newest(100, path));
    assert.ok(rows.some(({ action }) => action === "damage"), `${path} is in the log`);
  }
  const again = await verify(anna);
  assert.deepEqual(again.findings, []);
});

Deno.test("verify: damage in watched/, here and there, is repaired from the other side, with mode and times", async () => {
  await using pair = await rested();
  const { anna, bert } = pair;
  await Deno.chmod(`${anna.watched}/d/big`, 0o600);
  await rot(anna, "watched", "d/big", 3_000_000);
  await rot(anna, "watched", "d/big", 9_000_000);
  await rot(anna, "watched", "small", 0);
  await rot(bert, "watched", "d/big", 11_999_990);
  const { mtime } = await Deno.stat(`${anna.watched}/d/big`);
  await linked(pair);
  const before = traffic(anna);
  const result = await verify(anna, true);
  assert.deepEqual(result.findings.map(shown).sort(), [
    "bert watched/d/big damaged, repaired",
    "here watched/d/big damaged, repaired",
    "here watched/small damaged, repaired",
  ], JSON.stringify(result.findings));
  assert.ok(isWell(result));
  const bytes = traffic(anna) - before;
  assert.ok(bytes < SMALL.length + 100_000, `${bytes} bytes travelled`);
  await eventually("in sync again", () => {
    for (const home of [anna, bert]) assert.equal(home.running!.status().peers[0]?.inSync, true);
  }, { deadlineMs: 10_000 });
  await assertRight(pair);
  const after = await Deno.stat(`${anna.watched}/d/big`);
  assert.deepEqual([after.mode! & 0o777, after.mtime], [0o600, mtime]);
});

Deno.test("verify: one file that is damaged on both sides at different places is repaired on both", async () => {
  await using pair = await rested();
  const { anna, bert } = pair;
  await rot(anna, "watched", "d/big", 1_000_000);
  await rot(bert, "synced", "d/big", 6_000_000);
  await rot(bert, "watched", "d/big", 2_000_000);
  await rot(anna, "synced", "d/big", 4_000_000);
  await linked(pair);
  const result = await verify(anna, true);
  assert.deepEqual(result.findings.map(shown).sort(), [
    "bert synced/d/big damaged, repaired",
    "bert watched/d/big damaged, repaired",
    "here synced/d/big damaged, repaired",
    "here watched/d/big damaged, repaired",
  ], JSON.stringify(result.findings));
  await assertRight(pair);
});

Deno.test("verify: what is damaged on both sides at one place is told, and nothing is changed", async () => {
  await using pair = await rested();
  const { anna, bert } = pair;
  for (const path of ["d/big", "small"]) {
    await rot(anna, "watched", path, 1_000);
    await rot(bert, "synced", path, 1_000, 9);
  }
  const before = await Promise.all(
    [`${anna.watched}/d/big`, `${bert.synced}/d/big`, `${anna.watched}/small`, `${bert.synced}/small`]
      .map(async (path) => [path, sha256(await Deno.readFile(path))] as const),
  );
  await linked(pair);
  const result = await verify(anna, true);
  assert.equal(isWell(result), false);
  assert.deepEqual(result.findings.map(shown).sort(), [
    "bert synced/d/big damaged",
    "bert synced/small damaged",
    "here watched/d/big damaged",
    "here watched/small damaged",
  ]);
  for (const { notRepaired } of result.findings) {
    assert.match(notRepaired ?? "", /neither side has the right/);
  }
  for (const [path, hash] of before) assert.equal(sha256(await Deno.readFile(path)), hash, path);
  // Nobody forgets it, until what is there is another file.
  const told = ({ running }: typeof anna) =>
    running!.status().problems.map(({ code, message }) => [code, message]);
  for (const [peer, side] of [[anna, "watched"], [bert, "synced"]] as const) {
    const [problem, ...more] = told(peer);
    assert.equal(problem?.[0], "damaged");
    assert.match(problem?.[1] ?? "", new RegExp(`2 files are damaged .*${side}/d/big, ${side}/small`));
    assert.deepEqual(more, []);
  }
  await put(`${anna.watched}/small`, "brought back from a backup");
  await eventually("only the other file is damaged on both sides", () => {
    assert.match(String(told(anna)), /a file is damaged .*\(watched\/d\/big\)/);
    assert.match(String(told(bert)), /a file is damaged .*\(synced\/d\/big\)/);
  });
});

Deno.test("verify: a file that is edited is no damage, one that is missing in synced/ comes again", async () => {
  await using pair = await rested();
  const { anna, bert } = pair;
  await linked(pair);
  await Deno.remove(`${bert.synced}/small`);
  await put(`${anna.watched}/other`, "edited");
  const result = await verify(anna, true);
  assert.ok(isWell(result), JSON.stringify(result.findings));
  assert.deepEqual(result.findings.filter(({ verdict }) => verdict === "damaged"), []);
  assert.ok(result.findings.map(shown).includes("bert synced/small missing, repaired"));
  await eventually("the edit came", async () => {
    assert.equal(await Deno.readTextFile(`${bert.synced}/other`), "edited");
  });
});

Deno.test("verify: what is missing in synced/ here is repaired too when it is asked for here", async () => {
  await using pair = await rested();
  const { bert } = pair;
  await linked(pair);
  await Deno.remove(`${bert.synced}/small`);
  const result = await verify(bert, true);
  assert.ok(
    result.findings.map(shown).includes("here synced/small missing, repaired"),
    JSON.stringify(result),
  );
  assert.ok(isWell(result));
  await assertRight(pair);
});

Deno.test("verify: without a link this side is verified alone, and that is said", async () => {
  await using pair = await rested();
  const { anna } = pair;
  await rot(anna, "synced", "small", 5);
  await anna.start();
  const result = await verify(anna, true);
  assert.deepEqual(result.findings.map(shown), ["here synced/small damaged"]);
  assert.equal(result.peers[0]?.state, "not_asked");
  assert.equal(sha256(await Deno.readFile(`${anna.synced}/small`)) === sha256(SMALL), false);
});

Deno.test("verify: a link that goes away in the middle ends it with what was found so far", async () => {
  await using pair = await rested();
  const { anna, bert } = pair;
  await rot(anna, "synced", "small", 5);
  await linked(pair);
  // Bert hangs while he reads his files again, until he is stopped.
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  let reading = false;
  bert.before = async ({ method, args }) => {
    if (method !== "openRead" || args[0] !== "small") return;
    reading = true;
    await gate;
  };
  const verified = verify(anna, true);
  await eventually("Bert reads", () => assert.ok(reading), { deadlineMs: 5000 });
  const stopping = bert.stop();
  await eventually(
    "the link is gone",
    () => assert.equal(anna.running!.status().peers[0]?.link === "up", false),
    {
      deadlineMs: 5000,
    },
  );
  open();
  await stopping;
  const result = await verified;
  assert.deepEqual(result.findings.map(shown), ["here synced/small damaged"]);
  assert.equal(result.peers[0]?.state, "lost");
  assert.equal(isWell(result), false);
  anna.assertQuiet();
});

Deno.test("verify: damage that is found while a file is copied is told too", async () => {
  await using pair = await rested();
  const { anna, bert } = pair;
  await rot(bert, "synced", "d/big", 100_000);
  await linked(pair);
  await put(`${anna.watched}/copy`, BIG);
  await eventually("it is right there", async () => {
    assert.equal(sha256(await Deno.readFile(`${bert.synced}/copy`)), sha256(BIG));
  });
  await eventually("it is told", () => {
    const [problem] = bert.running!.status().problems;
    assert.equal(problem?.code, "damaged");
    assert.match(problem?.message ?? "", /synced\/d\/big/);
  });
});
