import assert from "node:assert/strict";
import { eventually } from "../helpers/eventually.ts";
import { stringsIn } from "../helpers/json.ts";
import { pair, type Peer, runningPair, said } from "../helpers/program.ts";
import {
  assertContained,
  assertFile,
  assertGone,
  assertMirrored,
  exists,
  filesWithContent,
  put,
  snapshot,
} from "../helpers/tree.ts";

/** The number of files and folders below a root. */
async function count(root: string): Promise<number> {
  return (await snapshot(root, { hashes: false })).size;
}

/** Waits until everything was sent and acknowledged. */
async function assertNothingPending(peer: Peer): Promise<void> {
  await eventually(`nothing is pending at ${peer.name}`, async () => {
    assert.deepEqual(await peer.query("SELECT * FROM pending"), []);
  });
}

Deno.test("what changes while nothing runs, or while the peer is away, arrives later", async (t) => {
  await using peers = await pair({ dials: "a" });
  const { a, b } = peers;

  await t.step("what was there before the first start", async () => {
    await put(`${a.watched}/before/a`, "before");
    await put(`${b.watched}/before/b`, "before too");
    await Deno.mkdir(`${a.watched}/before/empty`);
    await b.start();
    await a.start();
    await assertMirrored(a.watched, b.synced);
    await assertMirrored(b.watched, a.synced);
  });

  await t.step("edits, deletions, renames and new files while nothing ran", async () => {
    for (let i = 0; i < 20; i++) await put(`${a.watched}/tree/${i % 4}/${i}`, `${i}`);
    await assertMirrored(a.watched, b.synced);
    await Promise.all([a.stop(), b.stop()]);
    await put(`${a.watched}/before/a`, "edited while nothing ran");
    await Deno.remove(`${a.watched}/tree/1`, { recursive: true });
    await Deno.rename(`${a.watched}/tree/2`, `${a.watched}/tree/two`);
    await Deno.remove(`${a.watched}/tree/0/0`);
    await put(`${a.watched}/tree/0/0/now a folder`, "x");
    await put(`${b.watched}/new`, "new");
    await Deno.remove(`${b.watched}/before`, { recursive: true });
    await Promise.all([a.start(), b.start()]);
    await assertMirrored(a.watched, b.synced);
    await assertMirrored(b.watched, a.synced);
  });

  await t.step("an edit of the same size and the same time", async () => {
    await put(`${a.watched}/sneaky`, "one");
    await Deno.utime(`${a.watched}/sneaky`, 1_600_000_000, 1_600_000_000);
    await assertFile(`${b.synced}/sneaky`, "one");
    await a.stop();
    await put(`${a.watched}/sneaky`, "two");
    await Deno.utime(`${a.watched}/sneaky`, 1_600_000_000, 1_600_000_000);
    await a.start();
    await assertFile(`${b.synced}/sneaky`, "two");
  });

  await t.step(
    "pending shows what waits while the peer is away, and it goes out when it is back",
    async () => {
      await b.stop();
      await put(`${a.watched}/waits/for bert`, "waiting");
      await Deno.remove(`${a.watched}/sneaky`);
      await eventually("pending names both", async () => {
        assert.equal((await a.rows("waits/for bert", "pending")).length, 1, "waits/for bert");
        assert.equal((await a.rows("sneaky", "pending")).length, 1, "sneaky");
      });
      assert.match((await a.ok("pending")).stdout, /waits\/for bert/);
      await b.start();
      await assertFile(`${b.synced}/waits/for bert`, "waiting");
      await assertGone(`${b.synced}/sneaky`);
      await assertNothingPending(a);
      assert.deepEqual(await a.rows("waits/for bert", "pending"), []);
    },
  );

  await t.step("only the newest state of many travels after the peer was away", async () => {
    await b.stop();
    for (let i = 0; i < 5; i++) {
      await put(`${a.watched}/many states`, `state ${i}`);
      await put(`${a.watched}/never arrives`, `${i}`);
      await eventually("it was seen", async () => {
        assert.equal((await a.rows("never arrives", "pending")).length, 1);
      });
    }
    await Deno.remove(`${a.watched}/never arrives`);
    await b.start();
    await assertFile(`${b.synced}/many states`, "state 4");
    await assertMirrored(a.watched, b.synced);
    await assertNothingPending(a);
    const created = (await b.rows("never arrives", "log")).filter((row) => row.action !== "delete");
    assert.deepEqual(created, [], "what was deleted before it could be sent was not sent");
  });

  await t.step("a peer that was killed is found again, from either side", async () => {
    await b.kill();
    await put(`${a.watched}/after the kill of bert`, "1");
    await b.start();
    // It may be tried again only half a minute after the last time.
    await assertFile(`${b.synced}/after the kill of bert`, "1", { deadlineMs: 60_000 });
    await a.kill();
    await put(`${b.watched}/after the kill of anna`, "2");
    await a.start();
    await assertFile(`${a.synced}/after the kill of anna`, "2", { deadlineMs: 60_000 });
    await assertMirrored(a.watched, b.synced);
  });

  await t.step("a peer that is frozen for a while", async () => {
    b.running?.signal("SIGSTOP");
    await put(`${a.watched}/while bert was frozen`, "x".repeat(3_000_000));
    await eventually("it waits", async () => {
      assert.equal((await a.rows("while bert was frozen", "pending")).length, 1);
    });
    b.running?.signal("SIGCONT");
    await assertFile(`${b.synced}/while bert was frozen`, "x".repeat(3_000_000), { deadlineMs: 60_000 });
    await assertMirrored(a.watched, b.synced);
  });
});

Deno.test("either side killed in the middle of thousands of files goes on where it was", async () => {
  await using peers = await pair();
  const { a, b } = peers;
  const total = 4000;
  for (let i = 0; i < total; i++) {
    if (i < 40) Deno.mkdirSync(`${a.watched}/folder ${i % 40}`);
    Deno.writeTextFileSync(`${a.watched}/folder ${i % 40}/file ${i}`, `content of ${i} `.repeat(i % 100));
  }
  await Promise.all([a.start(), b.start()]);
  for (const [victim, share] of [[b, 0.1], [a, 0.3], [b, 0.5], [a, 0.6], [b, 0.7]] as const) {
    await eventually(`${share} of the files are there`, async () => {
      assert.ok(await count(b.synced) >= total * share);
    }, { everyMs: 5, deadlineMs: 60_000 });
    await victim.kill();
    await victim.start();
  }
  await assertMirrored(a.watched, b.synced, { deadlineMs: 90_000 });
  await assertNothingPending(a);
  await a.kill();
  // Half of each folder: a word is asked for only when it is more.
  for (let i = 0; i < total; i++) {
    if (Math.floor(i / 40) % 2 === 0) Deno.removeSync(`${a.watched}/folder ${i % 40}/file ${i}`);
  }
  await a.start();
  await eventually("some deletions have arrived", async () => {
    assert.ok(await count(b.synced) < total - 100);
  }, { everyMs: 5, deadlineMs: 60_000 });
  await b.kill();
  await b.start();
  await assertMirrored(a.watched, b.synced, { deadlineMs: 90_000 });
});

Deno.test("a large file that was cut off is whole in the end, and never seen half", async () => {
  await using peers = await pair();
  const { a, b } = peers;
  const big = new Uint8Array(48 * 1024 * 1024);
  for (let at = 0; at < big.length; at += 65_536) crypto.getRandomValues(big.subarray(at, at + 65_536));
  await put(`${a.watched}/big`, big);
  for (const victim of [b, a]) {
    await Promise.all([a, b].map((peer) => peer.running === null ? peer.start() : null));
    const sizes: number[] = [];
    await eventually("something of it was sent", async () => {
      if (await exists(`${b.synced}/big`)) sizes.push((await Deno.stat(`${b.synced}/big`)).size);
      assert.ok(sizes.length > 0 || await stagedBytes(b) > 1024 * 1024);
    }, { everyMs: 1 });
    await victim.kill();
    if (await exists(`${b.synced}/big`)) sizes.push((await Deno.stat(`${b.synced}/big`)).size);
    for (const size of sizes) assert.equal(size, big.length, "a half file under its real name");
  }
  await Promise.all([a, b].map((peer) => peer.running === null ? peer.start() : null));
  await assertMirrored(a.watched, b.synced, { deadlineMs: 60_000 });
});

/** Bytes below `synced/` that are not under the name of a mirrored file: what is being staged. */
async function stagedBytes(peer: Peer): Promise<number> {
  let bytes = 0;
  for await (const { name } of Deno.readDir(peer.synced)) {
    if (!name.startsWith(".mirrorsync")) continue;
    for (const entry of (await snapshot(`${peer.synced}/${name}`, { hashes: false })).values()) {
      bytes += entry.sizeBytes;
    }
  }
  return bytes;
}

Deno.test("what somebody did in synced by hand is kept, and the mirror comes back", async (t) => {
  await using peers = await runningPair();
  const { a, b } = peers;
  for (let i = 0; i < 30; i++) await put(`${a.watched}/folder ${i % 3}/${i}`, `Anna's ${i}`);
  await put(`${a.watched}/${"n".repeat(255)}`, "a long name");
  await assertMirrored(a.watched, b.synced);
  await assertNothingPending(a);

  await t.step("emptied while it was stopped: everything is fetched again", async () => {
    await b.stop();
    for await (const { name } of Deno.readDir(b.synced)) {
      await Deno.remove(`${b.synced}/${name}`, { recursive: true });
    }
    await b.start();
    await assertMirrored(a.watched, b.synced);
  });

  await t.step("edited while it was stopped: a conflict copy, and Anna's version returns", async () => {
    await b.stop();
    await put(`${b.synced}/folder 0/0`, "Bert's edit");
    await put(`${b.synced}/${"n".repeat(255)}`, "Bert's edit of a long name");
    await Deno.remove(`${b.synced}/folder 1/1`);
    await b.start();
    await assertFile(`${b.synced}/folder 0/0`, "Anna's 0");
    await assertFile(`${b.synced}/folder 1/1`, "Anna's 1");
    await assertFile(`${b.synced}/${"n".repeat(255)}`, "a long name");
    assert.equal((await filesWithContent(b.synced, "Bert's edit")).length, 1);
    assert.equal((await filesWithContent(b.synced, "Bert's edit of a long name")).length, 1);
    await assertContained(a.watched, b.synced);
  });

  await t.step("edited while it runs: kept as a conflict copy when Anna changes the file", async () => {
    await put(`${b.synced}/folder 2/2`, "Bert's live edit");
    await put(`${a.watched}/folder 2/2`, "Anna's new version");
    await assertFile(`${b.synced}/folder 2/2`, "Anna's new version");
    assert.equal((await filesWithContent(b.synced, "Bert's live edit")).length, 1);
  });

  await t.step("edited while it runs: kept as a conflict copy when Anna deletes the file", async () => {
    await put(`${b.synced}/folder 2/5`, "Bert's other live edit");
    await Deno.remove(`${a.watched}/folder 2/5`);
    await assertGone(`${b.synced}/folder 2/5`);
    assert.equal((await filesWithContent(b.synced, "Bert's other live edit")).length, 1);
  });

  await t.step("conflict copies never travel back and outlive a restart", async () => {
    await Promise.all([b.stop(), a.stop()]);
    await Promise.all([b.start(), a.start()]);
    await put(`${a.watched}/after restart`, "x");
    await assertFile(`${b.synced}/after restart`, "x");
    await assertContained(a.watched, b.synced);
    for (const text of ["Bert's edit", "Bert's live edit", "Bert's other live edit"]) {
      assert.equal((await filesWithContent(b.synced, text)).length, 1, text);
      assert.deepEqual(await filesWithContent(a.watched, text), []);
      assert.deepEqual(await filesWithContent(a.synced, text), []);
    }
  });

  await t.step("files that never came from Anna are left alone", async () => {
    await put(`${b.synced}/Bert's own/file`, "own");
    await put(`${b.synced}/folder 0/own`, "own in Anna's folder");
    await put(`${a.watched}/folder 0/from anna`, "from anna");
    await assertFile(`${b.synced}/folder 0/from anna`, "from anna");
    await Promise.all([b.stop(), a.stop()]);
    await Promise.all([b.start(), a.start()]);
    await put(`${a.watched}/marker`, "x");
    await assertFile(`${b.synced}/marker`, "x");
    await assertFile(`${b.synced}/Bert's own/file`, "own");
    await assertFile(`${b.synced}/folder 0/own`, "own in Anna's folder");
  });

  await t.step("a name that Anna needs: the own file becomes a conflict copy", async () => {
    await put(`${b.synced}/wanted`, "was here first");
    await put(`${a.watched}/wanted`, "Anna's wanted");
    await assertFile(`${b.synced}/wanted`, "Anna's wanted");
    assert.equal((await filesWithContent(b.synced, "was here first")).length, 1);
  });

  await t.step("the same content under the same name is adopted without a copy", async () => {
    const before = await count(b.synced);
    await put(`${b.synced}/same`, "the same on both");
    await put(`${a.watched}/same`, "the same on both");
    await assertNothingPending(a);
    await eventually("it is Anna's now", async () => {
      assert.ok((await b.rows("same", "log")).length > 0);
    });
    assert.equal(await count(b.synced), before + 1);
    await put(`${a.watched}/same`, "edited by Anna");
    await assertFile(`${b.synced}/same`, "edited by Anna");
    assert.equal(await count(b.synced), before + 1, "no conflict copy of a file that was adopted");
    await Deno.remove(`${a.watched}/same`);
    await assertGone(`${b.synced}/same`);
  });

  await t.step("a folder that Anna deletes stays while an own file is in it", async () => {
    await Deno.remove(`${a.watched}/folder 0`, { recursive: true });
    await assertGone(`${b.synced}/folder 0/from anna`);
    await assertFile(`${b.synced}/folder 0/own`, "own in Anna's folder");
  });
});

Deno.test("a database that is lost or restored from an earlier copy costs no file", async (t) => {
  await using peers = await runningPair();
  const { a, b, world } = peers;
  for (let i = 0; i < 40; i++) {
    await put(`${a.watched}/a${i % 4}/${i}`, `Anna's ${i}`);
    await put(`${b.watched}/b${i % 4}/${i}`, `Bert's ${i}`);
  }
  await put(`${a.watched}/a0/executable`, "#!");
  await Deno.chmod(`${a.watched}/a0/executable`, 0o755);
  const settled = async () => {
    await assertMirrored(a.watched, b.synced);
    await assertMirrored(b.watched, a.synced);
    await assertNothingPending(a);
    await assertNothingPending(b);
  };
  await settled();

  /** Trusts the other peer again if that was in the database. */
  const trustAgain = async (peer: Peer, other: Peer) => {
    const list = await peer.objects("peer", "list");
    if (!stringsIn(list).includes(other.name)) {
      await peer.trust(other.certificatePath, { name: other.name, address: other.address });
    }
  };
  const loseDatabase = async (peer: Peer) => {
    const path = await peer.databasePath();
    for (const suffix of ["", "-wal", "-shm"]) await Deno.remove(path + suffix).catch(() => {});
    assert.equal(await exists(path), false);
  };

  for (const [loser, other] of [[b, a], [a, b]] as const) {
    await t.step(
      `the database of ${loser.name} is deleted: everything is equal again, without copies`,
      async () => {
        await loser.stop();
        await loseDatabase(loser);
        await trustAgain(loser, other);
        await loser.start();
        await put(`${loser.watched}/after the loss at ${loser.name}`, "sent");
        await put(`${other.watched}/after the loss at ${loser.name}`, "sent too");
        await settled();
        await put(`${a.watched}/a1/1`, `Anna's 1, edited after the loss at ${loser.name}`);
        await Deno.remove(`${b.watched}/after the loss at ${loser.name}`);
        await settled();
      },
    );
  }

  await t.step("the sender lost its database and a file meanwhile: the deletion arrives", async () => {
    await a.stop();
    await loseDatabase(a);
    await trustAgain(a, b);
    await Deno.remove(`${a.watched}/a2/2`);
    await put(`${a.watched}/a3/3`, "edited while the database was lost");
    await a.start();
    await assertFile(`${b.synced}/a3/3`, "edited while the database was lost");
    await settled();
    assert.equal(await exists(`${b.synced}/a2/2`), false);
  });

  for (const loser of [a, b]) {
    await t.step(`an earlier copy of the database is put back at ${loser.name}`, async () => {
      await put(`${a.watched}/deleted later`, "deleted later");
      await put(`${a.watched}/edited later`, "first");
      await settled();
      await loser.stop();
      const path = await loser.databasePath();
      const copies = new Map<string, string>();
      for (const suffix of ["", "-wal", "-shm"]) {
        if (!await exists(path + suffix)) continue;
        const copy = `${world.folder}/copy of ${loser.name}${suffix}`;
        await Deno.copyFile(path + suffix, copy);
        copies.set(path + suffix, copy);
      }
      await loser.start();
      await put(`${a.watched}/edited later`, "second");
      await put(`${a.watched}/new since the copy`, "new");
      await put(`${a.watched}/gone since the copy`, "gone");
      await put(`${b.watched}/new since the copy`, "new");
      await Deno.remove(`${a.watched}/deleted later`);
      await settled();
      await loser.stop();
      await loseDatabase(loser);
      for (const [original, copy] of copies) await Deno.copyFile(copy, original);
      await Deno.remove(`${a.watched}/gone since the copy`);
      await loser.start();
      // What Bert holds is newer than his database knows: it may be kept as conflict copies, but nothing may be missing or old.
      await assertContained(a.watched, b.synced);
      await assertContained(b.watched, a.synced);
      await assertGone(`${b.synced}/deleted later`);
      if (loser === a) {
        await assertGone(`${b.synced}/gone since the copy`);
        await settled();
      }
      await put(`${a.watched}/edited later`, "third");
      await assertFile(`${b.synced}/edited later`, "third");
    });
  }
});

Deno.test("run --once does what can be done, ends by itself and says how it went", async (t) => {
  await using lonely = await pair({ dials: "a" });
  await put(`${lonely.a.watched}/waits`, "waits");
  // It dials for 30 s: that goes on while the rest is tested.
  const unreachable = lonely.a.startOnce();
  await using peers = await pair();
  const { a, b } = peers;

  await t.step("both with --once: 0 on both sides, both directions done", async () => {
    for (let i = 0; i < 200; i++) await put(`${a.watched}/a${i % 10}/${i}`, `Anna's ${i}`);
    await put(`${b.watched}/from bert`, "Bert's");
    const [ra, rb] = [a.startOnce(), b.startOnce()];
    const codes = await Promise.all([a.endOnce(), b.endOnce()]);
    assert.deepEqual(codes, [0, 0], `${said(ra)}\n${said(rb)}`);
    await assertMirrored(a.watched, b.synced, { deadlineMs: 0 });
    await assertMirrored(b.watched, a.synced, { deadlineMs: 0 });
    assert.deepEqual(await a.query("SELECT * FROM pending"), []);
  });

  await t.step("again with nothing to do: 0", async () => {
    a.startOnce();
    b.startOnce();
    assert.deepEqual(await Promise.all([a.endOnce(), b.endOnce()]), [0, 0]);
  });

  await t.step("--once against a peer that runs for good: 0, both directions done", async () => {
    await b.start();
    await put(`${a.watched}/a0/0`, "edited");
    await Deno.remove(`${a.watched}/a1`, { recursive: true });
    await put(`${b.watched}/from bert`, "Bert's edit");
    await eventually("Bert has seen it", async () => {
      assert.equal((await b.rows("from bert", "pending")).length, 1);
    });
    a.startOnce();
    assert.equal(await a.endOnce(), 0);
    await assertMirrored(a.watched, b.synced, { deadlineMs: 0 });
    await assertMirrored(b.watched, a.synced, { deadlineMs: 0 });
    assert.equal(b.running?.code, null, "Bert goes on");
  });

  await t.step("something cannot be done: 1, and pending says why; the rest is done", async () => {
    await put(`${b.synced}/in the way/own file`, "Bert's own");
    await put(`${a.watched}/in the way`, "a file where Bert has a folder with his own file");
    await put(`${a.watched}/other`, "other");
    const running = a.startOnce();
    assert.equal(await a.endOnce(), 1, said(running));
    await assertFile(`${b.synced}/other`, "other", { deadlineMs: 0 });
    await assertFile(`${b.synced}/in the way/own file`, "Bert's own", { deadlineMs: 0 });
    const rows = await a.rows("in the way", "pending");
    assert.equal(rows.length, 1);
    const row = rows[0] ?? {};
    const reason = row.reason ?? row.error;
    assert.ok(typeof reason === "string" && reason.length > 0, `no reason in ${JSON.stringify(row)}`);
    assert.ok((await a.ok("pending")).stdout.includes(reason), "pending shows the reason to a human too");
    await b.stop();
  });

  await t.step("the way is free again: pending retry and --once do it", async () => {
    await Deno.remove(`${b.synced}/in the way`, { recursive: true });
    await a.ok("pending", "retry");
    const [ra, rb] = [a.startOnce(), b.startOnce()];
    const codes = await Promise.all([a.endOnce(), b.endOnce()]);
    assert.deepEqual(codes, [0, 0], `${said(ra)}\n${said(rb)}`);
    await assertMirrored(a.watched, b.synced, { deadlineMs: 0 });
  });

  await t.step("ended by a signal before it was done: 1, and it says so", async () => {
    await put(`${a.watched}/not yet`, "not yet");
    const running = a.startOnce();
    await eventually("it dials", async () => assert.equal((await a.rows("not yet", "pending")).length, 1));
    running.signal("SIGTERM");
    assert.equal(await a.endOnce(), 1, said(running));
    assert.match(running.stderr, /not everything was done: it was ended by SIGTERM\n1 path not delivered:/);
  });

  await t.step("nobody there: 75, and what could not be sent is still pending", async () => {
    const code = await lonely.a.endOnce(90_000);
    assert.equal(code, 75, said(unreachable));
    assert.equal((await lonely.a.rows("waits", "pending")).length, 1);
  });
});
