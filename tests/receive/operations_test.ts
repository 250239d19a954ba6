import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { FileError } from "../../src/domain/ports.ts";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { operation } from "../helpers/plain_client.ts";
import { eventually } from "../helpers/eventually.ts";
import { exists, filesWithContent, put } from "../helpers/tree.ts";
import { folder, ReceiveBench } from "./bench.ts";
import { assertAtRest, copiesIn, namesIn } from "./support.ts";

const MTIME_MS = Date.parse("2026-03-04T05:06:07.089Z");

function path(text: string): RelativePath {
  return text as RelativePath;
}

Deno.test("receive: create, update and delete of files and folders", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.accepted(operation("create", "d/e/a.txt", "one"), "one");
  assert.equal(await Deno.readTextFile(`${bench.synced}/d/e/a.txt`), "one");
  const stat = await Deno.stat(`${bench.synced}/d/e/a.txt`);
  assert.equal(stat.mtime?.getTime(), MTIME_MS);
  assert.equal(stat.mode! & 0o111, 0);
  await anna.accepted(operation("update", "d/e/a.txt", "two!", { executable: true }), "two!");
  assert.equal(await Deno.readTextFile(`${bench.synced}/d/e/a.txt`), "two!");
  assert.notEqual((await Deno.stat(`${bench.synced}/d/e/a.txt`)).mode! & 0o100, 0);
  await anna.accepted(operation("create", "empty"));
  assert.equal((await Deno.stat(`${bench.synced}/empty`)).size, 0);
  await anna.accepted(folder("create", "nothing/in/here"));
  assert.equal((await Deno.stat(`${bench.synced}/nothing/in/here`)).isDirectory, true);
  await anna.accepted(operation("delete", "d/e/a.txt"));
  await anna.accepted(folder("delete", "d/e"));
  await anna.accepted(folder("delete", "d"));
  await bench.rest();
  assert.deepEqual(await namesIn(bench.synced), ["empty", "nothing", "nothing/in", "nothing/in/here"]);
  await assertAtRest(bench.synced);
});

Deno.test("receive: an update that changes only the executable bit or the time takes effect", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.accepted(operation("create", "run.sh", "#!", { executable: false }), "#!");
  await anna.accepted(operation("update", "run.sh", "#!", { executable: true }), "#!");
  assert.notEqual((await Deno.stat(`${bench.synced}/run.sh`)).mode! & 0o100, 0);
  const later = "2026-05-05T05:05:05.005Z";
  await anna.accepted(operation("update", "run.sh", "#!", { executable: true, timestamp: later }), "#!");
  assert.equal((await Deno.stat(`${bench.synced}/run.sh`)).mtime?.getTime(), Date.parse(later));
  assert.deepEqual(await copiesIn(bench.synced), []);
});

Deno.test("receive: five hundred small files at once are all there, and nothing is left in staging", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  const names = Array.from({ length: 500 }, (_, i) => `d${i % 7}/f${i}.txt`);
  await Promise.all(names.map((name) => anna.accepted(operation("create", name, name), name)));
  await bench.rest();
  for (const name of names) assert.equal(await Deno.readTextFile(`${bench.synced}/${name}`), name);
  assert.equal(bench.store.synced.count().files, 500);
});

Deno.test("receive: operations on one path that come together end with the last one", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await Promise.all(
    Array.from({ length: 30 }, (_, i) => anna.accepted(operation("update", "log", `v${i}`), `v${i}`)),
  );
  assert.equal(await Deno.readTextFile(`${bench.synced}/log`), "v29");
  assert.deepEqual(await copiesIn(bench.synced), []);
});

Deno.test("receive: an unowned file with the same content is adopted without a conflict copy", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await put(`${bench.synced}/same.txt`, "same");
  await put(`${bench.synced}/big`, "b".repeat(300_000));
  await anna.accepted(operation("create", "same.txt", "same"), "same");
  const big = "b".repeat(300_000);
  await anna.accepted({ ...operation("create", "big", big), offer: true });
  assert.deepEqual(await namesIn(bench.synced), ["big", "same.txt"]);
  assert.equal((await Deno.stat(`${bench.synced}/same.txt`)).mtime?.getTime(), MTIME_MS);
  assert.equal((await Deno.stat(`${bench.synced}/big`)).mtime?.getTime(), MTIME_MS);
  assert.notEqual(bench.store.synced.get(bench.anna.number, path("same.txt")), null);
  // It is the peer's file now.
  await anna.accepted(operation("delete", "big"));
  assert.equal(await exists(`${bench.synced}/big`), false);
});

Deno.test("receive: what is adopted is durable in its place when it is acknowledged", async () => {
  await using bench = await ReceiveBench.open();
  await put(`${bench.synced}/x/y/same.txt`, "same");
  const flushed: unknown[] = [];
  bench.tree.after = ({ method, args }) => {
    if (method === "flushFile" || method === "flushFolder") flushed.push(args[0]);
  };
  await bench.link().accepted({ ...operation("create", "x/y/same.txt", "same"), offer: true });
  for (const path of ["x/y/same.txt", "x/y", "x", ""]) assert.ok(flushed.includes(path), path);
});

Deno.test("receive: an offer of content that is not here is answered with content_needed, and nothing changes", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await put(`${bench.synced}/own`, "mine");
  for (const [name, content] of [["none", "x"], ["own", "else"]] as const) {
    const reply = await anna.refused({ ...operation("create", name, content), offer: true });
    assert.equal(reply.code, "content_needed");
  }
  assert.deepEqual(await namesIn(bench.synced), ["own"]);
  assert.equal(await Deno.readTextFile(`${bench.synced}/own`), "mine");
});

Deno.test("receive: an unowned file with other content becomes a conflict copy", async () => {
  await using bench = await ReceiveBench.open();
  await put(`${bench.synced}/notes/plan.txt`, "mine");
  await bench.link().accepted(operation("create", "notes/plan.txt", "theirs"), "theirs");
  assert.equal(await Deno.readTextFile(`${bench.synced}/notes/plan.txt`), "theirs");
  const copies = await copiesIn(bench.synced);
  assert.equal(copies.length, 1);
  assert.match(copies[0]!, /^notes\/plan\.conflict-.*\.txt$/);
  assert.equal(await Deno.readTextFile(`${bench.synced}/${copies[0]}`), "mine");
});

Deno.test("receive: a file edited by hand becomes a conflict copy before an update", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.accepted(operation("create", "a.txt", "v1"), "v1");
  await Deno.writeTextFile(`${bench.synced}/a.txt`, "by hand");
  await anna.accepted(operation("update", "a.txt", "v2"), "v2");
  assert.equal(await Deno.readTextFile(`${bench.synced}/a.txt`), "v2");
  assert.equal((await filesWithContent(bench.synced, "by hand")).length, 1);
  assert.equal((await copiesIn(bench.synced)).length, 1);
  assert.ok(bench.events.some((event) => event.kind === "conflict"), "the user is told");
});

Deno.test("receive: a file edited by hand becomes a conflict copy before a deletion", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.accepted(operation("create", "a.txt", "v1"), "v1");
  await Deno.writeTextFile(`${bench.synced}/a.txt`, "by hand");
  await anna.accepted(operation("delete", "a.txt"));
  assert.equal(await exists(`${bench.synced}/a.txt`), false);
  assert.equal((await filesWithContent(bench.synced, "by hand")).length, 1);
});

Deno.test("receive: an edit of the same length and the same time is still found when it has another inode", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.accepted(operation("create", "a.txt", "v1"), "v1");
  await Deno.writeTextFile(`${bench.synced}/tmp`, "vX");
  await Deno.utime(`${bench.synced}/tmp`, new Date(MTIME_MS), new Date(MTIME_MS));
  await Deno.rename(`${bench.synced}/tmp`, `${bench.synced}/a.txt`);
  await anna.accepted(operation("update", "a.txt", "v2"), "v2");
  assert.deepEqual(await filesWithContent(bench.synced, "vX"), await copiesIn(bench.synced));
  assert.equal((await copiesIn(bench.synced)).length, 1);
});

Deno.test("receive: a file that was only touched gives no conflict copy, on update or deletion", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  for (const name of ["a", "b"]) {
    await anna.accepted(operation("create", name, "v1"), "v1");
    await Deno.utime(`${bench.synced}/${name}`, new Date(), new Date());
  }
  await anna.accepted(operation("update", "a", "v2"), "v2");
  await anna.accepted(operation("delete", "b"));
  assert.deepEqual(await namesIn(bench.synced), ["a"]);
});

Deno.test("receive: an operation that comes twice is acknowledged and does nothing", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  const first = operation("create", "a.txt", "v1");
  await anna.accepted(first, "v1");
  const before = await Deno.stat(`${bench.synced}/a.txt`);
  const writes: string[] = [];
  bench.tree.before = ({ method, args }) => {
    if (["write", "rename", "link", "unlink", "setTimes"].includes(method)) writes.push(`${method} ${args}`);
  };
  await anna.accepted(first, "v1");
  await anna.accepted({ ...first, id: crypto.randomUUID(), action: "update" }, "v1");
  const after = await Deno.stat(`${bench.synced}/a.txt`);
  assert.equal(after.ino, before.ino);
  assert.equal(after.ctime?.getTime(), before.ctime?.getTime());
  assert.deepEqual(writes, []);
  await anna.accepted(operation("delete", "a.txt"));
  await anna.accepted(operation("delete", "a.txt"));
  await anna.accepted(operation("delete", "never/was/here"));
});

Deno.test("receive: a create that comes again after the file was edited does not trust the id", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  const first = operation("create", "a.txt", "v1");
  await anna.accepted(first, "v1");
  await Deno.writeTextFile(`${bench.synced}/a.txt`, "by hand");
  await anna.accepted(first, "v1");
  assert.equal(await Deno.readTextFile(`${bench.synced}/a.txt`), "v1");
  assert.equal((await filesWithContent(bench.synced, "by hand")).length, 1);
});

Deno.test("receive: a path belongs to one peer", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  const bert = bench.link(bench.bert);
  await anna.accepted(operation("create", "d/a.txt", "anna"), "anna");
  for (
    const [header, content] of [
      [operation("create", "d/a.txt", "bert"), "bert"],
      [operation("update", "d/a.txt", "anna"), "anna"],
      [operation("delete", "d/a.txt"), ""],
      [folder("create", "d/a.txt"), ""],
    ] as const
  ) {
    const reply = await bert.refused(header, content);
    assert.equal(reply.code, "owned_by_other");
    assert.match(String(reply.message), /anna/);
  }
  assert.equal(await Deno.readTextFile(`${bench.synced}/d/a.txt`), "anna");
  // The folder is nobody's: both may put files into it, and it goes when it is empty.
  await bert.accepted(operation("create", "d/b.txt", "bert"), "bert");
  await bert.accepted(folder("create", "d"));
  await anna.accepted(folder("create", "d"));
  await anna.accepted(operation("delete", "d/a.txt"));
  await anna.accepted(folder("delete", "d"));
  assert.equal(await Deno.readTextFile(`${bench.synced}/d/b.txt`), "bert");
  // Who knows no folders has asked for a file to be deleted, and there is a folder.
  const plain = bench.link(bench.anna, null);
  assert.equal((await plain.refused(operation("delete", "d"))).code, "folder_not_empty");
  await bert.accepted(operation("delete", "d/b.txt"));
  await bert.accepted(folder("delete", "d"));
  assert.deepEqual(await namesIn(bench.synced), []);
  const refused = bench.store.log.newest(100, "d/a.txt").filter((row) => row.status === "error");
  assert.ok(refused.length >= 4, "every refusal has a row in the log");
});

Deno.test("receive: the deletion of a file that did not come from the peer is refused, and it stays", async () => {
  await using bench = await ReceiveBench.open();
  await put(`${bench.synced}/own.txt`, "mine");
  const reply = await bench.link().refused(operation("delete", "own.txt"));
  assert.equal(reply.code, "not_owned");
  assert.equal(await Deno.readTextFile(`${bench.synced}/own.txt`), "mine");
});

Deno.test("receive: nothing is written, deleted or read through a symlink", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await Deno.mkdir(`${bench.folder}/outside`);
  await put(`${bench.folder}/outside/secret`, "secret");
  await anna.accepted(operation("create", "d/secret", "secret"), "secret");
  await Deno.remove(`${bench.synced}/d`, { recursive: true });
  await Deno.symlink(`${bench.folder}/outside`, `${bench.synced}/d`);
  for (
    const [header, content] of [
      [operation("create", "d/new", "x"), "x"],
      [operation("create", "d/deep/new", "x"), "x"],
      [operation("update", "d/secret", "x"), "x"],
      [operation("delete", "d/secret"), ""],
      [{ ...operation("create", "d/secret", "secret"), offer: true }, ""],
      [folder("create", "d/folder"), ""],
    ] as const
  ) {
    const reply = await anna.refused(header, content);
    assert.equal(reply.code, "symlink_in_path", JSON.stringify(header));
  }
  assert.deepEqual(await namesIn(`${bench.folder}/outside`), ["secret"]);
  assert.equal(await Deno.readTextFile(`${bench.folder}/outside/secret`), "secret");
});

Deno.test("receive: a symlink at the path itself becomes a conflict copy, and its target is not touched", async () => {
  await using bench = await ReceiveBench.open();
  await put(`${bench.folder}/target`, "target");
  await Deno.symlink(`${bench.folder}/target`, `${bench.synced}/a.txt`);
  await bench.link().accepted(operation("create", "a.txt", "new"), "new");
  assert.equal(await Deno.readTextFile(`${bench.synced}/a.txt`), "new");
  assert.equal((await Deno.lstat(`${bench.synced}/a.txt`)).isSymlink, false);
  assert.equal(await Deno.readTextFile(`${bench.folder}/target`), "target");
  assert.equal((await copiesIn(bench.synced)).length, 1);
});

Deno.test("receive: a file where a parent must be is an error, and stays", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await put(`${bench.synced}/d`, "a file");
  const reply = await anna.refused(operation("create", "d/a.txt", "x"), "x");
  assert.equal(reply.code, "parent_is_file");
  assert.equal(await Deno.readTextFile(`${bench.synced}/d`), "a file");
  await bench.rest();
  assert.deepEqual(await namesIn(bench.synced), ["d"]);
});

Deno.test("receive: a folder that is not empty is neither replaced by a file nor deleted", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  const plain = bench.link(bench.anna, null);
  await anna.accepted(operation("create", "d/theirs", "x"), "x");
  await put(`${bench.synced}/d/own`, "mine");
  assert.equal((await anna.refused(operation("create", "d", "file"), "file")).code, "folder_in_the_way");
  assert.equal((await anna.refused(folder("delete", "d"))).code, "folder_not_empty");
  assert.equal((await plain.refused(operation("delete", "d"))).code, "folder_not_empty");
  await anna.accepted(operation("delete", "d/theirs"));
  // Only this computer's own file is left: the sender is told that the folder stays.
  assert.equal((await anna.accepted(folder("delete", "d"))).kept, true);
  assert.equal((await plain.refused(operation("delete", "d"))).code, "folder_not_empty");
  assert.equal(await Deno.readTextFile(`${bench.synced}/d/own`), "mine");
});

Deno.test("receive: a folder that was made a file by hand is gone for its sender, and the file stays", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.accepted(folder("create", "d"));
  await Deno.remove(`${bench.synced}/d`);
  await put(`${bench.synced}/d`, "mine");
  await anna.accepted(folder("delete", "d"));
  assert.equal(await Deno.readTextFile(`${bench.synced}/d`), "mine");
  assert.equal(
    (await anna.refused(folder("delete", "d"))).code,
    "not_owned",
    "now it has nothing here any more",
  );
  await anna.accepted(folder("create", "d"));
  const names = await namesIn(bench.synced);
  const copy = names.find((name) => name.includes(".conflict-"))!;
  assert.deepEqual(names.filter((name) => name !== copy), ["d"]);
  assert.equal(await Deno.readTextFile(`${bench.synced}/${copy}`), "mine");
});

Deno.test("receive: a folder that a file has come into in this moment is not kept for this computer's sake", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.accepted(folder("create", "d"));
  // Together, so that they are committed together.
  const [came, gone] = await Promise.all([
    anna.request(operation("create", "d/a", "a"), "a"),
    anna.request(folder("delete", "d")),
  ]);
  assert.equal(came.header.status, "ok");
  assert.equal(gone.header.code, "folder_not_empty");
  await anna.accepted(operation("delete", "d/a"));
  await anna.accepted(folder("delete", "d"));
  assert.deepEqual(await namesIn(bench.synced), []);
});

Deno.test("receive: an empty folder makes way for a file, and a deleted file for a folder", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.accepted(folder("create", "x"));
  await anna.accepted(operation("create", "x", "file"), "file");
  assert.equal(await Deno.readTextFile(`${bench.synced}/x`), "file");
  assert.equal((await anna.refused(folder("create", "x"))).code, "parent_is_file");
  await anna.accepted(operation("delete", "x"));
  await anna.accepted(folder("create", "x"));
  await anna.accepted(operation("create", "x/y", "in"), "in");
  assert.deepEqual(await namesIn(bench.synced), ["x", "x/y"]);
});

Deno.test("receive: content that does not fit its header changes nothing", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.accepted(operation("create", "a", "v1"), "v1");
  const large = "x".repeat(300_000);
  for (
    const [header, content, code] of [
      [operation("update", "a", "v2"), "vX", "hash_mismatch"],
      [operation("update", "a", "v2"), "v", "bad_content"],
      [operation("update", "a", "v2"), "v2 and more", "bad_content"],
      [operation("update", "a", large), large.slice(1) + "y", "hash_mismatch"],
      [operation("update", "a", "v2", { compressed: true }), "not gzip", "bad_content"],
      [operation("update", "a", "v2", { compressed: true }), gzipSync("v2+"), "bad_content"],
      [operation("update", "a", "v2+", { compressed: true }), gzipSync("v2"), "bad_content"],
      [operation("update", "a", "v2", { compressed: true }), gzipSync("vX"), "hash_mismatch"],
      [operation("delete", "a"), "content", "bad_content"],
    ] as const
  ) {
    const reply = await anna.refused(header, content);
    assert.equal(reply.code, code, `${JSON.stringify(header)}: ${reply.message}`);
  }
  assert.equal(await Deno.readTextFile(`${bench.synced}/a`), "v1");
  await anna.accepted(operation("update", "a", "v2", { compressed: true }), gzipSync("v2"));
  assert.equal(await Deno.readTextFile(`${bench.synced}/a`), "v2");
});

Deno.test("receive: a racing edit between the look and the rename is kept as a conflict copy", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  for (const action of ["update", "delete"] as const) {
    await anna.accepted(operation("create", `${action}.txt`, "v1"), "v1");
    let edited = false;
    bench.tree.before = async ({ method, args }) => {
      const step = action === "update" ? "link" : "rename";
      if (edited || method !== step || args[0] !== `${action}.txt`) return;
      edited = true;
      await Deno.writeTextFile(`${bench.synced}/${action}.txt`, `raced ${action}`);
    };
    if (action === "update") await anna.accepted(operation("update", "update.txt", "v2"), "v2");
    else await anna.accepted(operation("delete", "delete.txt"));
    bench.tree.before = () => {};
    assert.equal(edited, true);
    const kept = await filesWithContent(bench.synced, `raced ${action}`);
    assert.deepEqual(kept.map((name) => /\.conflict-/.test(name)), [true], `${action}: ${kept}`);
  }
  assert.equal(await Deno.readTextFile(`${bench.synced}/update.txt`), "v2");
  assert.equal(await exists(`${bench.synced}/delete.txt`), false);
});

Deno.test("receive: a file that an editor replaces between the look and the rename is kept as a conflict copy", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  for (const action of ["delete", "update"] as const) {
    await anna.accepted(operation("create", `${action}.txt`, "v1"), "v1");
    let edited = false;
    bench.tree.before = async ({ method, args }) => {
      const step = action === "update" ? "link" : "rename";
      if (edited || method !== step || args[0] !== `${action}.txt`) return;
      edited = true;
      // As most editors save: a new file, renamed over the old one.
      await Deno.writeTextFile(`${bench.folder}/saved`, `saved ${action}`);
      await Deno.rename(`${bench.folder}/saved`, `${bench.synced}/${action}.txt`);
    };
    if (action === "update") await anna.accepted(operation("update", "update.txt", "v2"), "v2");
    else await anna.accepted(operation("delete", "delete.txt"));
    bench.tree.before = () => {};
    assert.equal(edited, true);
    const kept = await filesWithContent(bench.synced, `saved ${action}`);
    assert.equal(kept.length, 1, `${action}: what the editor saved in that moment is lost`);
  }
});

Deno.test("receive: a file that appears between the look and the link is kept as a conflict copy", async () => {
  await using bench = await ReceiveBench.open();
  let appeared = false;
  bench.tree.before = async ({ method, args }) => {
    if (appeared || method !== "link" || args[1] !== "a.txt") return;
    appeared = true;
    await Deno.writeTextFile(`${bench.synced}/a.txt`, "mine");
  };
  await bench.link().accepted(operation("create", "a.txt", "theirs"), "theirs");
  assert.equal(appeared, true);
  assert.equal(await Deno.readTextFile(`${bench.synced}/a.txt`), "theirs");
  assert.equal((await filesWithContent(bench.synced, "mine")).length, 1);
});

Deno.test("receive: a time that a user gives a file right after it came is taken back", async () => {
  await using bench = await ReceiveBench.open();
  let touched = false;
  bench.tree.after = async ({ method, args }) => {
    if (touched || method !== "link" || args[1] !== "a.txt") return;
    touched = true;
    await Deno.utime(`${bench.synced}/a.txt`, new Date(0), new Date(0));
  };
  await bench.link().accepted(operation("create", "a.txt", "theirs"), "theirs");
  assert.equal(touched, true);
  assert.equal((await Deno.stat(`${bench.synced}/a.txt`)).mtime?.getTime(), MTIME_MS);
});

Deno.test("receive: where the file system has no links, renames do", async () => {
  await using bench = await ReceiveBench.open();
  bench.tree.before = ({ method }) => {
    if (method === "link") throw new FileError("unsupported", "no links here");
  };
  const anna = bench.link();
  await anna.accepted(operation("create", "a", "v1"), "v1");
  await anna.accepted(operation("update", "a", "v2"), "v2");
  await Deno.writeTextFile(`${bench.synced}/a`, "by hand");
  await anna.accepted(operation("update", "a", "v3"), "v3");
  assert.equal(await Deno.readTextFile(`${bench.synced}/a`), "v3");
  assert.equal((await filesWithContent(bench.synced, "by hand")).length, 1);
  await bench.rest();
});

Deno.test("receive: a flush that fails means an error and no ack; sending again heals", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  let failing = "";
  bench.tree.before = ({ method }) => {
    if (method === failing) throw new FileError("io", "the disk is broken");
  };
  for (const method of ["flush", "flushFolder", "write", "create"]) {
    failing = method;
    const name = `${method}.txt`;
    const reply = await anna.refused(operation("create", name, "v1"), "v1");
    assert.equal(reply.code, "io_error", method);
    failing = "";
    let flushed = false;
    bench.tree.after = (call) => {
      if (call.method === "flushFolder") flushed = true;
    };
    await anna.accepted(operation("create", name, "v1"), "v1");
    assert.equal(flushed, true, `${method}: an ack means durable, also the second time`);
    assert.equal(await Deno.readTextFile(`${bench.synced}/${name}`), "v1");
  }
  await bench.rest();
  assert.deepEqual(await copiesIn(bench.synced), []);
});

Deno.test("receive: a flush of a folder that fails after an update does not make a conflict copy of our own write", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.accepted(operation("create", "a", "v1"), "v1");
  let failing = true;
  bench.tree.before = ({ method }) => {
    if (failing && method === "flushFolder") throw new FileError("io", "the disk is broken");
  };
  await anna.refused(operation("update", "a", "v2"), "v2");
  failing = false;
  // The file has changed at the sender meanwhile.
  await anna.accepted(operation("update", "a", "v3"), "v3");
  assert.equal(await Deno.readTextFile(`${bench.synced}/a`), "v3");
  assert.deepEqual(await copiesIn(bench.synced), [], "v2 was our own write, nobody has edited it");
});

Deno.test("receive: a failure concerns its own operation alone", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await put(`${bench.synced}/file`, "mine");
  const replies = await Promise.all([
    anna.request(operation("create", "a", "a"), "a"),
    anna.request(operation("create", "file/b", "b"), "b"),
    anna.request(operation("create", "c", "c"), "c"),
  ]);
  assert.deepEqual(replies.map(({ header }) => header.status), ["ok", "error", "ok"]);
});

Deno.test("receive: while the database refuses, nothing is acknowledged; sending again heals", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.accepted(operation("create", "a", "v1"), "v1");
  await anna.accepted(operation("create", "b", "v1"), "v1");
  const { log } = bench.store;
  const add = log.add.bind(log);
  log.add = () => {
    throw new Error("database is locked");
  };
  await anna.refused(operation("update", "a", "v2"), "v2");
  await anna.refused(operation("delete", "b"));
  await anna.refused(operation("create", "c", "v1"), "v1");
  assert.equal(bench.store.synced.get(bench.anna.number, path("c")), null);
  log.add = add;
  await anna.accepted(operation("update", "a", "v2"), "v2");
  await anna.accepted(operation("delete", "b"));
  await anna.accepted(operation("create", "c", "v1"), "v1");
  await bench.rest();
  assert.deepEqual(await namesIn(bench.synced), ["a", "c"]);
});

for (const moment of ["create", "flush", "link", "flushFolder"]) {
  Deno.test(`receive: a peer that is removed at a ${moment} is refused, and the others are served on`, async () => {
    await using bench = await ReceiveBench.open();
    const anna = bench.link();
    const bert = bench.link(bench.bert);
    await anna.accepted(operation("create", "before", "v1"), "v1");
    bench.tree.before = ({ method }) => {
      if (method === moment && bench.store.peers.byName("anna") !== null) bench.store.peers.remove("anna");
    };
    const [refused] = await Promise.all([
      anna.refused(operation("create", "a", "v1"), "v1"),
      bert.accepted(operation("create", "b", "v1"), "v1"),
    ]);
    assert.equal(refused.code, "not_trusted");
    assert.match(String(refused.message), /anna/);
    assert.equal((await anna.refused(operation("update", "before", "v2"), "v2")).code, "not_trusted");
    await bert.accepted(operation("create", "c", "v1"), "v1");
    assert.deepEqual(bench.events.filter(({ kind }) => kind === "problem"), []);
    // Added again, it is served again, and what is there already is taken for its own.
    bench.tree.before = () => {};
    const { number } = bench.store.peers.add({
      name: "anna",
      fingerprint: "anna".padEnd(64, "0"),
      certificatePem: "anna",
      address: null,
      addedMs: 0,
    });
    const again = bench.link({ number, name: "anna" });
    await again.accepted(operation("create", "a", "v1"), "v1");
    await again.accepted(operation("update", "before", "v1"), "v1");
    await bench.rest();
    assert.deepEqual(await namesIn(bench.synced), ["a", "b", "before", "c"]);
  });
}

Deno.test("receive: many small files of a peer that is removed meanwhile keep nobody else's from being recorded", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  const bert = bench.link(bench.bert);
  let placed = 0;
  bench.tree.after = ({ method }) => {
    if (method === "link" && ++placed === 5) bench.store.peers.remove("anna");
  };
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, i) => [
      anna.request(operation("create", `a${i}`, "v1"), "v1"),
      bert.request(operation("create", `b${i}`, "v1"), "v1"),
    ]).flat(),
  );
  assert.ok(answers.some(({ header }) => header.code === "not_trusted"));
  for (let i = 0; i < 40; i++) {
    const { header } = await bert.request(operation("create", `b${i}`, "v1"), "v1");
    assert.equal(header.status, "ok", JSON.stringify(header));
    assert.notEqual(bench.store.synced.get(bench.bert.number, path(`b${i}`)), null);
  }
});

Deno.test("receive: a newer version after the database refused the one before makes no conflict copy of our own write", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.accepted(operation("create", "a", "v1"), "v1");
  const { log } = bench.store;
  const add = log.add.bind(log);
  log.add = () => {
    throw new Error("database is locked");
  };
  await anna.refused(operation("update", "a", "v2"), "v2");
  log.add = add;
  await anna.accepted(operation("update", "a", "v3"), "v3");
  assert.equal(await Deno.readTextFile(`${bench.synced}/a`), "v3");
  assert.deepEqual(await copiesIn(bench.synced), [], "v2 was our own write, nobody has edited it");
});

Deno.test("receive: a large file in pieces, with small ones in between; aborted ones leave nothing", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  const content = crypto.getRandomValues(new Uint8Array(60_000));
  const whole = new Uint8Array(600_000);
  for (let i = 0; i < 10; i++) whole.set(content, i * 60_000);
  const header = { ...operation("create", "big", whole), pieces: true };
  const aborted = crypto.randomUUID();
  for (let offset = 0; offset < whole.length; offset += 200_000) {
    const piece = { action: "piece", path: "big", size: whole.length, offset };
    await anna.send({ ...piece, id: header.id }, whole.subarray(offset, offset + 200_000));
    await anna.send({ ...piece, path: "never", id: aborted }, whole.subarray(offset, offset + 200_000));
    await anna.accepted(operation("create", `small${offset}`, "s"), "s");
  }
  await anna.accepted(header);
  await anna.send({ action: "abort", id: aborted });
  await eventually("the aborted transfer is gone", () => assert.equal(bench.receiver.busy, false));
  assert.deepEqual(await Deno.readFile(`${bench.synced}/big`), whole);
  assert.deepEqual(await namesIn(bench.synced), ["big", "small0", "small200000", "small400000"]);
});

Deno.test("receive: pieces with a gap, or another hash, are refused and leave nothing", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  const gap = { ...operation("create", "gap", "abcdef"), pieces: true };
  await anna.send({ action: "piece", id: gap.id, path: "gap", size: 6, offset: 0 }, "abc");
  const second = { action: "piece", id: gap.id, path: "gap", size: 6, offset: 4 };
  assert.equal((await anna.refused(second, "ef")).code, "bad_content");
  await anna.send(gap); // was answered by the refusal
  const wrong = { ...operation("create", "wrong", "abcdef"), pieces: true };
  await anna.send({ action: "piece", id: wrong.id, path: "wrong", size: 6, offset: 0 }, "abcdeX");
  assert.equal((await anna.refused(wrong)).code, "hash_mismatch");
  await anna.send({ action: "abort", id: gap.id });
  await eventually("nothing is under way", () => assert.equal(bench.receiver.busy, false));
  assert.deepEqual(await namesIn(bench.synced), []);
});

Deno.test("receive: the staging folder goes after content that was refused while it came", async () => {
  await using bench = await ReceiveBench.open();
  const large = "x".repeat(300_000);
  await bench.link().refused(operation("create", "a", large), large.slice(1) + "y");
  await bench.rest();
});

Deno.test("receive: the staging folder goes after an aborted transfer", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.send({ action: "piece", id: "1", path: "never", size: 6, offset: 0 }, "abc");
  await eventually("it is staged", async () => {
    assert.equal(await exists(`${bench.synced}/.mirrorsync-staging`), true);
  });
  await anna.send({ action: "abort", id: "1" });
  await bench.rest();
});

Deno.test("receive: no room on the disk is said before the content is kept", async () => {
  await using bench = await ReceiveBench.open();
  const huge = { ...operation("create", "huge", "x"), size: 2 ** 52, pieces: true };
  const anna = bench.link();
  const reply = anna.request({ ...huge, action: "piece", offset: 0 }, "x");
  assert.equal((await reply).header.code, "no_space");
  assert.deepEqual(await namesIn(bench.synced), []);
});
