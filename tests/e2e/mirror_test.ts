import assert from "node:assert/strict";
import { eventually, pause } from "../helpers/eventually.ts";
import { type Pair, runningPair } from "../helpers/program.ts";
import {
  assertFile,
  assertGone,
  assertMirrored,
  assertSameTree,
  exists,
  makePipe,
  mirrorOf,
  put,
  sha256,
  snapshot,
} from "../helpers/tree.ts";

/** Waits until both directions are exact mirrors. */
async function assertBothMirrored({ a, b }: Pair, deadlineMs = 30_000): Promise<void> {
  const hopeless = () => a.running?.hopeless() ?? b.running?.hopeless() ?? null;
  await assertMirrored(a.watched, b.synced, { deadlineMs, hopeless });
  await assertMirrored(b.watched, a.synced, { deadlineMs, hopeless });
}

Deno.test("what is done in one watched folder is done in the other's synced folder, both ways", async (t) => {
  await using peers = await runningPair();
  const { a, b } = peers;

  await t.step("a file that is created, edited and deleted", async () => {
    for (const [from, to] of [[a, b], [b, a]] as const) {
      await put(`${from.watched}/note.txt`, "first");
      await assertFile(`${to.synced}/note.txt`, "first");
      await put(`${from.watched}/note.txt`, "second, and longer");
      await assertFile(`${to.synced}/note.txt`, "second, and longer");
      await assertMirrored(from.watched, to.synced);
      await Deno.remove(`${from.watched}/note.txt`);
      await assertGone(`${to.synced}/note.txt`);
    }
  });

  await t.step("the same name on both sides: two different files, each in its own direction", async () => {
    await put(`${a.watched}/same name`, "Anna's");
    await put(`${b.watched}/same name`, "Bert's");
    await assertFile(`${b.synced}/same name`, "Anna's");
    await assertFile(`${a.synced}/same name`, "Bert's");
    await assertBothMirrored(peers);
  });

  await t.step("edits of the same size, one right after the other: the last one wins", async () => {
    for (let i = 100; i < 200; i++) await put(`${a.watched}/counter`, `value ${i}`);
    await assertFile(`${b.synced}/counter`, "value 199");
    await assertBothMirrored(peers);
  });

  await t.step("a file that editors save by writing a new one and renaming it", async () => {
    await put(`${a.watched}/doc.txt`, "draft");
    await assertFile(`${b.synced}/doc.txt`, "draft");
    await put(`${a.watched}/.doc.txt.swp`, "final");
    await Deno.rename(`${a.watched}/.doc.txt.swp`, `${a.watched}/doc.txt`);
    await assertFile(`${b.synced}/doc.txt`, "final");
    await assertBothMirrored(peers);
  });

  await t.step("a file that shrinks to nothing, and an empty one that grows", async () => {
    await put(`${a.watched}/shrinks`, "x".repeat(100_000));
    await put(`${a.watched}/grows`, "");
    await assertBothMirrored(peers);
    await Deno.truncate(`${a.watched}/shrinks`);
    await put(`${a.watched}/grows`, "content");
    await assertFile(`${b.synced}/grows`, "content");
    await assertBothMirrored(peers);
  });

  await t.step("a renamed file, over another one too", async () => {
    await put(`${a.watched}/old name`, "renamed content");
    await put(`${a.watched}/in the way`, "to be replaced");
    await assertBothMirrored(peers);
    await Deno.rename(`${a.watched}/old name`, `${a.watched}/new name`);
    await assertFile(`${b.synced}/new name`, "renamed content");
    await Deno.rename(`${a.watched}/new name`, `${a.watched}/in the way`);
    await assertFile(`${b.synced}/in the way`, "renamed content");
    await assertBothMirrored(peers);
  });

  await t.step("a renamed folder with all that is in it", async () => {
    for (let i = 0; i < 50; i++) await put(`${a.watched}/project/src/part ${i % 5}/file ${i}`, `${i}`);
    await assertBothMirrored(peers);
    await Deno.rename(`${a.watched}/project`, `${a.watched}/project 2`);
    await assertBothMirrored(peers);
    assert.equal(await exists(`${b.synced}/project`), false);
    await put(`${a.watched}/project 2/src/part 0/file 0`, "edited in the renamed folder");
    await assertFile(`${b.synced}/project 2/src/part 0/file 0`, "edited in the renamed folder");
  });

  await t.step("two files and two folders that change places", async () => {
    await put(`${a.watched}/left/x`, "was left");
    await put(`${a.watched}/right/y`, "was right");
    await assertBothMirrored(peers);
    await Deno.rename(`${a.watched}/left`, `${a.watched}/between`);
    await Deno.rename(`${a.watched}/right`, `${a.watched}/left`);
    await Deno.rename(`${a.watched}/between`, `${a.watched}/right`);
    await assertBothMirrored(peers);
    assert.deepEqual([...(await snapshot(`${b.synced}/left`)).keys()], ["y"]);
  });

  await t.step("empty files and empty folders", async () => {
    await put(`${a.watched}/empty file`, "");
    await Deno.mkdir(`${a.watched}/empty folder/in/another`, { recursive: true });
    await assertBothMirrored(peers);
    assert.equal((await Deno.lstat(`${b.synced}/empty folder/in/another`)).isDirectory, true);
    await Deno.remove(`${a.watched}/empty folder/in/another`);
    await assertGone(`${b.synced}/empty folder/in/another`);
    await Deno.remove(`${a.watched}/empty folder`, { recursive: true });
    await assertGone(`${b.synced}/empty folder`);
  });

  await t.step("the executable bit, set and taken away with nothing else changed", async () => {
    await put(`${a.watched}/tool.sh`, "#!/bin/sh\n");
    await Deno.chmod(`${a.watched}/tool.sh`, 0o755);
    await assertBothMirrored(peers);
    assert.notEqual((await Deno.lstat(`${b.synced}/tool.sh`)).mode! & 0o100, 0);
    await Deno.chmod(`${a.watched}/tool.sh`, 0o644);
    await assertBothMirrored(peers);
    assert.equal((await Deno.lstat(`${b.synced}/tool.sh`)).mode! & 0o100, 0);
  });

  await t.step("the time of the last change: long ago, before 1970, in the future; and alone", async () => {
    await put(`${a.watched}/old`, "old");
    await put(`${a.watched}/older`, "older");
    await put(`${a.watched}/tomorrow`, "tomorrow");
    await Deno.utime(`${a.watched}/old`, 981_173_106.789, 981_173_106.789);
    await Deno.utime(`${a.watched}/older`, -86_400, -86_400);
    await Deno.utime(`${a.watched}/tomorrow`, 2_000_000_000, 2_000_000_000);
    await assertBothMirrored(peers);
    assert.equal((await Deno.lstat(`${b.synced}/old`)).mtime?.toISOString(), "2001-02-03T04:05:06.789Z");
    assert.equal((await Deno.lstat(`${b.synced}/older`)).mtime?.toISOString(), "1969-12-31T00:00:00.000Z");
    await Deno.utime(`${a.watched}/old`, 1_000_000_000, 1_000_000_000);
    await assertBothMirrored(peers);
  });

  await t.step("a file that becomes a folder, and a folder that becomes a file", async () => {
    await put(`${a.watched}/was a file`, "file");
    await put(`${a.watched}/was a folder/deep/inside`, "inside");
    await assertBothMirrored(peers);
    await Deno.remove(`${a.watched}/was a file`);
    await put(`${a.watched}/was a file/now/holds this`, "this");
    await Deno.remove(`${a.watched}/was a folder`, { recursive: true });
    await put(`${a.watched}/was a folder`, "now a file");
    await assertBothMirrored(peers);
    await assertFile(`${b.synced}/was a folder`, "now a file");
  });

  await t.step("a deep folder made at once with a file in it", async () => {
    for (let i = 0; i < 20; i++) {
      await Deno.mkdir(`${a.watched}/at once ${i}/e/f/g`, { recursive: true });
      Deno.writeTextFileSync(`${a.watched}/at once ${i}/e/f/g/file`, `${i}`);
    }
    await assertBothMirrored(peers);
    assert.equal(await exists(`${b.synced}/at once 19/e/f/g/file`), true);
  });

  await t.step("a folder that is moved in from outside, edited, and moved out again", async () => {
    const outside = `${peers.world.folder}/outside`;
    for (let i = 0; i < 30; i++) await put(`${outside}/sub ${i % 3}/${i}`, `moved ${i}`);
    await Deno.rename(outside, `${a.watched}/moved in`);
    await assertBothMirrored(peers);
    await put(`${a.watched}/moved in/sub 0/new`, "made after the move");
    await assertFile(`${b.synced}/moved in/sub 0/new`, "made after the move");
    await Deno.rename(`${a.watched}/moved in`, outside);
    await assertGone(`${b.synced}/moved in`);
    await put(`${outside}/sub 0/new`, "nobody's business");
    await put(`${a.watched}/after the move out`, "x");
    await assertFile(`${b.synced}/after the move out`, "x");
    await assertBothMirrored(peers);
  });

  await t.step("a whole tree that is deleted", async () => {
    await Deno.remove(`${a.watched}/project 2`, { recursive: true });
    await a.confirmDeletions();
    await assertGone(`${b.synced}/project 2`);
    await assertBothMirrored(peers);
  });

  await t.step("a file of some megabytes and its edit in the middle", async () => {
    const big = new Uint8Array(8 * 1024 * 1024 + 3);
    for (let at = 0; at < big.length; at += 65_536) crypto.getRandomValues(big.subarray(at, at + 65_536));
    await put(`${a.watched}/big.bin`, big);
    await assertBothMirrored(peers);
    using file = await Deno.open(`${a.watched}/big.bin`, { write: true });
    await file.seek(4_000_000, Deno.SeekMode.Start);
    await file.write(new TextEncoder().encode("edited in place"));
    file.close();
    await assertBothMirrored(peers);
  });

  await t.step("no change was ever taken for a conflict", async () => {
    await assertBothMirrored(peers);
    assertSameTree(mirrorOf(await snapshot(a.watched)), await snapshot(b.synced));
  });
});

Deno.test("names of every kind arrive as they are", async (t) => {
  await using peers = await runningPair();
  const { a, b } = peers;

  await t.step("spaces, quotes, newlines, emoji, backslashes, dashes, dots, controls", async () => {
    const names = [
      " leading and trailing ",
      "it's",
      'say "hello"',
      "new\nline",
      "tab\tand\rreturn",
      "\u0001\u001b[31m\u007f",
      "😀 👩‍👩‍👧‍👦 🏳️‍🌈",
      "日本語 العربية עברית",
      "back\\slash",
      "..\\not a parent",
      "-rf",
      "--help",
      "...",
      "..hidden",
      "trailing dot.",
      "$HOME `id` $(id) %PATH% * ? [a-z] {b,c}",
      "a:b|c<d>e&f;g#h!",
      "CON",
      "nul.txt",
      "%2e%2e%2f",
      "__proto__",
      "constructor",
      "toString",
      "é composed",
      "ﬁ ligature İstanbul ſ",
      "\u202eright to left",
      "\ufeffmark",
      "~",
      "node_modules",
      ".git",
      ".DS_Store",
      "n".repeat(255),
      "é".repeat(127),
      "😀".repeat(63),
    ];
    for (const name of names) {
      await put(`${a.watched}/files/${name}`, `content of ${name}`);
      await put(`${a.watched}/folders/${name}/${name}`, name);
    }
    await assertBothMirrored(peers);
    assert.equal((await snapshot(`${b.synced}/files`)).size, names.length);
    for (const name of names) await put(`${a.watched}/files/${name}`, `edited content of ${name}`);
    await assertBothMirrored(peers);
    await Deno.remove(`${a.watched}/files`, { recursive: true });
    await Deno.remove(`${a.watched}/folders`, { recursive: true });
    await a.confirmDeletions();
    await assertGone(`${b.synced}/files`);
    await assertGone(`${b.synced}/folders`);
  });

  await t.step("names that differ in case only are two names here", async () => {
    await put(`${a.watched}/Case`, "upper");
    await put(`${a.watched}/case`, "lower");
    await assertFile(`${b.synced}/Case`, "upper");
    await assertFile(`${b.synced}/case`, "lower");
    await Deno.remove(`${a.watched}/Case`);
    await assertGone(`${b.synced}/Case`);
    await assertFile(`${b.synced}/case`, "lower");
  });

  await t.step("a decomposed name travels in form NFC, in folders too", async () => {
    const name = "Zoe\u0308's cafe\u0301";
    await put(`${a.watched}/${name}/${name}.txt`, "decomposed");
    const arrived = `${b.synced}/${name.normalize("NFC")}/${name.normalize("NFC")}.txt`;
    await assertFile(arrived, "decomposed");
    await put(`${a.watched}/${name}/${name}.txt`, "decomposed and edited");
    await assertFile(arrived, "decomposed and edited");
    await assertBothMirrored(peers);
    await Deno.remove(`${a.watched}/${name}`, { recursive: true });
    await assertGone(`${b.synced}/${name.normalize("NFC")}`);
  });

  await t.step(
    "of two names with one NFC form the first keeps it and the other one is in the log",
    async () => {
      const composed = "re\u0301sume\u0301".normalize("NFC");
      const decomposed = composed.normalize("NFD");
      await put(`${a.watched}/${composed}`, "the first");
      await assertFile(`${b.synced}/${composed}`, "the first");
      await put(`${a.watched}/${decomposed}`, "the second");
      try {
        await eventually("the second is in the log", async () => {
          const rows = await a.query("SELECT path, status FROM log");
          const about = rows.filter((row) =>
            String(row.path).normalize("NFC") === composed && row.status !== "ok"
          );
          assert.ok(about.length > 0, "no row that is not ok");
        });
        await put(`${a.watched}/marker`, "sent after it");
        await assertFile(`${b.synced}/marker`, "sent after it");
        assert.equal(await Deno.readTextFile(`${b.synced}/${composed}`), "the first");
        assert.equal(await exists(`${b.synced}/${decomposed}`), false);
      } finally {
        await Deno.remove(`${a.watched}/${decomposed}`);
      }
      await put(`${a.watched}/${composed}`, "the first, edited");
      await assertFile(`${b.synced}/${composed}`, "the first, edited");
      await assertBothMirrored(peers);
    },
  );

  await t.step("a tree of 40 levels", async () => {
    const deep = Array.from({ length: 40 }, (_, level) => `level ${level} ${"d".repeat(30)}`).join("/");
    await put(`${a.watched}/${deep}/bottom`, "bottom");
    await assertFile(`${b.synced}/${deep}/bottom`, "bottom");
    await assertBothMirrored(peers);
    await Deno.remove(`${a.watched}/${deep.split("/")[0]}`, { recursive: true });
    await assertGone(`${b.synced}/${deep.split("/")[0]}`);
  });
});

Deno.test("symlinks and special files are not followed and not sent, and it says so", async (t) => {
  await using peers = await runningPair();
  const { a, b, world } = peers;
  await put(`${world.folder}/outside/secret.txt`, "secret");

  await t.step("one row in the log and a line in status for each; the rest goes on", async () => {
    await Deno.symlink(`${world.folder}/outside/secret.txt`, `${a.watched}/link-to-file`);
    await Deno.symlink(`${world.folder}/outside`, `${a.watched}/link-to-folder`);
    await Deno.symlink("nowhere", `${a.watched}/link-to-nothing`);
    await Deno.symlink(".", `${a.watched}/link-to-itself`);
    await makePipe(`${a.watched}/a-fifo`);
    await put(`${a.watched}/regular`, "regular");
    await assertFile(`${b.synced}/regular`, "regular");
    const skipped = ["link-to-file", "link-to-folder", "link-to-nothing", "link-to-itself", "a-fifo"];
    await eventually("status and log name them", async () => {
      const [status, log] = await Promise.all([a.ok("status"), a.objects("log")]);
      for (const name of skipped) {
        assert.ok(status.stdout.includes(name), `status does not name ${name}:\n${status.stdout}`);
        assert.equal(log.filter((row) => row.path === name).length, 1, `rows in the log for ${name}`);
      }
    });
    await assertBothMirrored(peers);
    assert.deepEqual([...(await snapshot(b.synced)).keys()], ["regular"]);
  });

  await t.step("a file that is replaced by a symlink counts as deleted", async () => {
    await put(`${a.watched}/becomes-link`, "file");
    await assertFile(`${b.synced}/becomes-link`, "file");
    await Deno.remove(`${a.watched}/becomes-link`);
    await Deno.symlink("regular", `${a.watched}/becomes-link`);
    await assertGone(`${b.synced}/becomes-link`);
  });

  await t.step("a folder that is replaced by a symlink counts as deleted, with all in it", async () => {
    await put(`${a.watched}/folder-becomes-link/x/y`, "y");
    await assertFile(`${b.synced}/folder-becomes-link/x/y`, "y");
    await Deno.remove(`${a.watched}/folder-becomes-link`, { recursive: true });
    await Deno.symlink(`${world.folder}/outside`, `${a.watched}/folder-becomes-link`);
    await assertGone(`${b.synced}/folder-becomes-link`);
    assert.equal(await Deno.readTextFile(`${world.folder}/outside/secret.txt`), "secret");
  });

  await t.step("a symlink that is replaced by a file is sent", async () => {
    await Deno.remove(`${a.watched}/link-to-file`);
    await put(`${a.watched}/link-to-file`, "a file now");
    await assertFile(`${b.synced}/link-to-file`, "a file now");
  });

  await t.step("a name that is not UTF-8 stops nothing", async () => {
    const make = new Deno.Command("sh", {
      args: ["-c", `cd "$1" && printf x > "$(printf 'bad-\\377-name')"`, "sh", a.watched],
    });
    assert.equal((await make.output()).success, true);
    await put(`${a.watched}/after the bad name`, "good");
    await assertFile(`${b.synced}/after the bad name`, "good");
    await eventually("it is in the log", async () => {
      const rows = await a.query("SELECT path FROM log");
      assert.equal(rows.filter((row) => String(row.path).startsWith("bad-")).length, 1);
    });
    await assertGone(`${b.synced}/bad-\ufffd-name`);
  });
});

Deno.test(".mirrorsyncignore decides what is sent", async (t) => {
  await using peers = await runningPair();
  const { a, b } = peers;

  /** Sends a file and waits for it, after which everything that was seen before has been decided on. */
  let markers = 0;
  const settled = async () => {
    const name = `marker ${++markers}`;
    await put(`${a.watched}/${name}`, name);
    await assertFile(`${b.synced}/${name}`, name);
  };

  await t.step("patterns, folders, negation, anchors and comments", async () => {
    await put(
      `${a.watched}/.mirrorsyncignore`,
      "# build products\n*.log\n!keep.log\n/only-at-top\nbuild/\n**/cache/**\nwith\\ space\n",
    );
    await settled();
    for (
      const path of [
        "x.log",
        "sub/y.log",
        "keep.log",
        "sub/keep.log",
        "only-at-top",
        "sub/only-at-top",
        "build/out",
      ]
        .concat(["sub/build/out", "cache/a/b", "sub/cache/c", "with space", "X.LOG", "kept.txt"])
    ) await put(`${a.watched}/${path}`, path);
    const sent = ["keep.log", "sub/keep.log", "sub/only-at-top", "X.LOG", "kept.txt"];
    for (const path of sent) await assertFile(`${b.synced}/${path}`, path);
    await settled();
    for (
      const path of ["x.log", "sub/y.log", "only-at-top", "build", "sub/build", "sub/cache/c", "with space"]
    ) {
      assert.equal(await exists(`${b.synced}/${path}`), false, `${path} is ignored`);
    }
    assert.equal(await exists(`${b.synced}/cache/a/b`), false);
  });

  await t.step("an edit while it runs: what is no longer ignored is sent", async () => {
    await put(`${a.watched}/.mirrorsyncignore`, "build/\n");
    await assertFile(`${b.synced}/x.log`, "x.log");
    await assertFile(`${b.synced}/sub/y.log`, "sub/y.log");
    await assertFile(`${b.synced}/sub/cache/c`, "sub/cache/c");
    assert.equal(await exists(`${b.synced}/build`), false);
  });

  await t.step("what becomes ignored stays on the peer as it was", async () => {
    await put(`${a.watched}/.mirrorsyncignore`, "build/\n*.log\n");
    await settled();
    await put(`${a.watched}/x.log`, "an edit that nobody sees");
    await Deno.remove(`${a.watched}/keep.log`);
    await settled();
    assert.equal(await Deno.readTextFile(`${b.synced}/x.log`), "x.log");
    assert.equal(await Deno.readTextFile(`${b.synced}/keep.log`), "keep.log");
  });

  await t.step("a nested ignore file counts below its folder", async () => {
    await put(`${a.watched}/nested/.mirrorsyncignore`, "*.tmp\n!*.log\n");
    await settled();
    await put(`${a.watched}/nested/in/a.tmp`, "ignored");
    await put(`${a.watched}/nested/b.log`, "allowed again");
    await put(`${a.watched}/c.tmp`, "not below");
    await assertFile(`${b.synced}/nested/b.log`, "allowed again");
    await assertFile(`${b.synced}/c.tmp`, "not below");
    await settled();
    assert.equal(await exists(`${b.synced}/nested/in/a.tmp`), false);
  });

  await t.step("without any ignore file everything is sent", async () => {
    await Deno.remove(`${a.watched}/.mirrorsyncignore`);
    await Deno.remove(`${a.watched}/nested/.mirrorsyncignore`);
    await assertBothMirrored(peers);
    assert.equal(await Deno.readTextFile(`${b.synced}/build/out`), "build/out");
  });

  await t.step("an ignore file that arrives in synced has no effect there", async () => {
    await put(`${b.watched}/.mirrorsyncignore`, "nothing-matches-this\n");
    await put(`${a.watched}/.mirrorsyncignore`, "# only a comment\n");
    await put(`${b.watched}/plain.log`, "sent");
    await assertFile(`${a.synced}/plain.log`, "sent");
    await assertBothMirrored(peers);
  });
});

Deno.test("files that are being written are not sent half-done and not starved", async (t) => {
  await using peers = await runningPair();
  const { a, b } = peers;

  await t.step("a file that is written slowly with its handle open travels once, whole", async () => {
    const parts = Array.from({ length: 8 }, (_, i) => `part ${i} ${"x".repeat(10_000)}\n`);
    {
      using file = await Deno.open(`${a.watched}/slow.txt`, { write: true, createNew: true });
      for (const part of parts) {
        await file.write(new TextEncoder().encode(part));
        await pause(80);
      }
    }
    await assertFile(`${b.synced}/slow.txt`, parts.join(""));
    const rows = await b.rows("slow.txt", "log", "--limit", "1000");
    assert.ok(rows.length > 0, "the log tells of it");
    const hashes = new Set(rows.map((row) => row.hash));
    assert.deepEqual([...hashes], [sha256(parts.join(""))], "no other version of it ever arrived");
  });

  await t.step(
    "a log file that never rests arrives in versions, each of them one that it really had",
    async () => {
      const line = (i: number) => `line ${String(i).padStart(6, "0")}\n`;
      const versions = new Set<number>();
      using file = await Deno.open(`${a.watched}/busy.log`, { append: true, create: true });
      let written = 0;
      let writing = true;
      const writer = (async () => {
        while (writing) {
          await file.write(new TextEncoder().encode(line(written++)));
          await pause(20);
        }
      })();
      try {
        await eventually("three versions of a file that is never closed", async () => {
          const text = await Deno.readTextFile(`${b.synced}/busy.log`);
          const whole = Array.from({ length: text.length / line(0).length }, (_, i) => line(i)).join("");
          assert.equal(text, whole, "a version is a beginning of the file");
          if (text.length > 0) versions.add(text.length);
          assert.ok(versions.size >= 3, `only ${versions.size} versions so far`);
        }, { deadlineMs: 60_000 });
      } finally {
        writing = false;
        await writer;
      }
      await assertBothMirrored(peers);
      assert.equal((await Deno.stat(`${b.synced}/busy.log`)).size, written * line(0).length);
    },
  );
});

Deno.test("thousands of small files, made, edited and deleted as fast as the disk allows", async () => {
  await using peers = await runningPair({ dials: "b" });
  const { a, b } = peers;
  const pathOf = (i: number) => `d${i % 7}/e${i % 11}/file ${i}`;
  for (let i = 0; i < 3000; i++) {
    if (i < 77) Deno.mkdirSync(`${a.watched}/d${i % 7}/e${i % 11}`, { recursive: true });
    Deno.writeTextFileSync(`${a.watched}/${pathOf(i)}`, `content ${i}`);
  }
  await assertBothMirrored(peers, 60_000);
  for (let i = 0; i < 3000; i += 3) Deno.writeTextFileSync(`${a.watched}/${pathOf(i)}`, `changed ${i}`);
  for (let i = 1; i < 3000; i += 3) Deno.removeSync(`${a.watched}/${pathOf(i)}`);
  for (let i = 2; i < 3000; i += 30) {
    Deno.renameSync(`${a.watched}/${pathOf(i)}`, `${a.watched}/${pathOf(i)} renamed`);
  }
  await assertBothMirrored(peers, 60_000);
  await eventually(
    "nothing is pending",
    async () => assert.deepEqual(await a.query("SELECT * FROM pending"), []),
  );
  await Deno.remove(a.watched + "/d0", { recursive: true });
  await a.confirmDeletions();
  await assertBothMirrored(peers, 60_000);
  assert.equal(await exists(`${b.synced}/d0`), false);
});

Deno.test("a watched folder that is moved away is not a deletion, and works again when it is back", async () => {
  await using peers = await runningPair();
  const { a, b, world } = peers;
  await put(`${a.watched}/kept/file`, "kept");
  await assertFile(`${b.synced}/kept/file`, "kept");
  await Deno.rename(a.watched, `${world.folder}/away`);
  // That the other direction still works, and that status says what is wrong, shows that the program has gone on.
  await put(`${b.watched}/meanwhile`, "meanwhile");
  await assertFile(`${a.synced}/meanwhile`, "meanwhile");
  await eventually("status or the log names the folder that is gone", async () => {
    const status = await a.ok("status");
    const told = status.stdout + a.running?.stdout + a.running?.stderr;
    assert.ok(told.includes(a.watched), `nothing tells of ${a.watched}:\n${told}`);
  });
  await assertFile(`${b.synced}/kept/file`, "kept");
  await Deno.rename(`${world.folder}/away`, a.watched);
  await put(`${a.watched}/kept/file`, "kept and edited");
  await assertFile(`${b.synced}/kept/file`, "kept and edited", { deadlineMs: 60_000 });
  await put(`${a.watched}/new`, "new");
  await assertFile(`${b.synced}/new`, "new", { deadlineMs: 60_000 });
  await assertBothMirrored(peers);
});
