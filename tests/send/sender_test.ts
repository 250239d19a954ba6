import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { FileError } from "../../src/domain/ports.ts";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { recordFailure, STILL_THERE } from "../../src/send/settled.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { EXTENSIONS } from "../../src/wire/hello.ts";
import { parseListing, rootDigest, treeDigests } from "../../src/wire/tree_digest.ts";
import type { JsonObject } from "../helpers/json.ts";
import { eventually } from "../helpers/eventually.ts";
import { put, sha256 } from "../helpers/tree.ts";
import { type Frame, ManualClock, turns } from "../receive/support.ts";
import { NO_TREE, SendBench } from "./bench.ts";

/** The content and hash of the last operation on a path that the far end got, its pieces joined. */
function lastContent(bench: SendBench, path: string): { content: string; hash: unknown } {
  const last = bench.far.frames.findLast(({ header }) => header.path === path && header.action !== "piece")!;
  const parts = last.header.pieces === true
    ? bench.far.frames.filter(({ header }) => header.action === "piece" && header.id === last.header.id)
      .map(({ header, content }) => header.coding === "gzip" ? gunzipSync(content) : content)
    : [last.content];
  const text = parts.map((part) => new TextDecoder().decode(part)).join("");
  return { content: text, hash: last.header.hash };
}

function before(bench: SendBench, first: string, second: string): void {
  const operations = bench.operations;
  assert.ok(operations.includes(first) && operations.includes(second), `${operations}`);
  assert.ok(
    operations.indexOf(first) < operations.indexOf(second),
    `${first} before ${second}: ${operations}`,
  );
}

Deno.test("send: parents go before children, and on deletion children before parents", async () => {
  await using bench = await SendBench.open();
  for (const path of ["a/b/c/1", "a/b/2", "a/3", "z"]) await bench.write(path, path);
  await bench.observe("a", "a/3", "a/b", "a/b/2", "a/b/c", "a/b/c/1", "z");
  bench.attach();
  await bench.inSync();
  before(bench, "create a/", "create a/b/");
  before(bench, "create a/b/", "create a/b/c/");
  before(bench, "create a/b/c/", "create a/b/c/1");
  bench.far.frames.length = 0;
  await Deno.remove(`${bench.watched}/a`, { recursive: true });
  await bench.observe("a", "a/b", "a/b/c", "a/b/c/1", "a/b/2", "a/3");
  await bench.inSync();
  before(bench, "delete a/b/c/1", "delete a/b/c/");
  before(bench, "delete a/b/c/", "delete a/b/");
  before(bench, "delete a/b/2", "delete a/b/");
  before(bench, "delete a/b/", "delete a/");
  before(bench, "delete a/3", "delete a/");
  assert.equal(bench.store.acked.count(bench.peer), 1);
});

Deno.test("send: parents go before children in whatever order they were noted", async () => {
  await using bench = await SendBench.open();
  await bench.write("a/b/1", "1");
  await bench.observe("a/b/1", "a/b", "a");
  bench.attach();
  await bench.inSync();
  assert.deepEqual(bench.operations, ["create a/", "create a/b/", "create a/b/1"]);
});

Deno.test("send: a folder's deletion waits for the answers to those of what was in it", async () => {
  await using bench = await SendBench.open();
  await bench.write("d/1", "1");
  await bench.observe("d", "d/1");
  bench.attach({ extensions: ["folders", "modes"] });
  await bench.inSync();
  await Deno.remove(`${bench.watched}/d`, { recursive: true });
  bench.far.frames.length = 0;
  await bench.observe("d", "d/1");
  await bench.inSync();
  assert.deepEqual(bench.operations, ["delete d/1", "delete d/"]);
});

Deno.test("send: a file that becomes a folder is deleted first", async () => {
  await using bench = await SendBench.open();
  await bench.write("x", "file");
  await bench.observe("x");
  bench.attach();
  await bench.inSync();
  bench.far.frames.length = 0;
  await Deno.remove(`${bench.watched}/x`);
  await bench.write("x/y", "in");
  await bench.observe("x", "x/y");
  await bench.inSync();
  before(bench, "delete x", "create x/");
  before(bench, "delete x", "create x/y");
  assert.equal(bench.acked("x")?.kind, "folder");
});

Deno.test("send: a folder that becomes a file is emptied and deleted first", async () => {
  await using bench = await SendBench.open();
  await bench.write("x/y/z", "in");
  await bench.observe("x", "x/y", "x/y/z");
  bench.attach();
  await bench.inSync();
  bench.far.frames.length = 0;
  await Deno.remove(`${bench.watched}/x`, { recursive: true });
  await bench.write("x", "file");
  await bench.observe("x", "x/y", "x/y/z");
  await bench.inSync();
  before(bench, "delete x/y/z", "delete x/y/");
  before(bench, "delete x/y/", "delete x/");
  before(bench, "delete x/", "create x");
  assert.equal(bench.acked("x")?.kind, "file");
  assert.equal(bench.acked("x/y/z"), null);
});

Deno.test("send: the deletion of a moved file waits until its new name was acknowledged", async () => {
  await using bench = await SendBench.open();
  await bench.write("old", "content");
  await bench.observe("old");
  bench.attach();
  await bench.inSync();
  bench.far.frames.length = 0;
  await Deno.rename(`${bench.watched}/old`, `${bench.watched}/new`);
  let held: Frame | null = null;
  bench.answer = (frame) => {
    if (frame.header.path !== "new") return { status: "ok" };
    held = frame;
    return null;
  };
  await bench.observe("old", "new");
  await eventually("the new name is sent", () => assert.notEqual(held, null));
  await turns();
  assert.deepEqual(bench.operations, ["create new"]);
  await bench.far.send({ status: "ok", id: held!["header"]["id"] });
  await bench.inSync();
  assert.deepEqual(bench.operations, ["create new", "delete old"]);
});

Deno.test("send: a moved file whose new name is refused for good does not stay for ever under the old one", async () => {
  await using bench = await SendBench.open();
  await bench.write("old", "content");
  await bench.observe("old");
  bench.attach();
  await bench.inSync();
  await Deno.rename(`${bench.watched}/old`, `${bench.watched}/new`);
  bench.answer = ({ header }) =>
    header.path === "new" ? { status: "error", code: "unsupported_name", message: "no" } : { status: "ok" };
  await bench.observe("old", "new");
  await eventually("the old name is deleted", () => assert.ok(bench.operations.includes("delete old")));
});

Deno.test("send: what was moved into a folder that is refused is deleted under its old name all the same", async () => {
  const clock = new ManualClock();
  await using bench = await SendBench.open(clock);
  await bench.write("old/file", "content");
  await bench.observe("old", "old/file");
  bench.attach({ folding: { case: true, unicode: false } });
  await bench.inSync();
  let there = true;
  bench.answer = ({ header }) => {
    if (header.action === "delete" && header.path === "old") there = false;
    return header.path === "OLD" && there
      ? { status: "error", code: "unsupported_name", message: "there is `old`" }
      : header.action === "move"
      ? { status: "error", code: "cannot_move", message: "no" }
      : { status: "ok" };
  };
  await Deno.rename(`${bench.watched}/old`, `${bench.watched}/OLD`);
  // The old names cannot be looked at for so long that the new one is sent beside them.
  await bench.observe("OLD");
  await clock.advance(10_000);
  await eventually("it is refused", () => assert.equal(bench.row("OLD")?.state, "refused"));
  await bench.observe("OLD/file", "old", "old/file");
  await bench.inSync();
  assert.deepEqual(bench.operations.slice(-4), [
    "delete old/file",
    "delete old/",
    "create OLD/",
    "create OLD/file",
  ]);
});

Deno.test("send: a file that took its folder's place, and left that again, is deleted under its old name, and the folder too", async () => {
  await using bench = await SendBench.open();
  await bench.write("x/one", "content");
  await bench.observe("x", "x/one");
  bench.attach();
  await bench.inSync();
  bench.far.close();
  await eventually("detached", () => assert.equal(bench.sender.isAttached, false));
  await Deno.rename(`${bench.watched}/x/one`, `${bench.watched}/moving`);
  await Deno.remove(`${bench.watched}/x`);
  await Deno.rename(`${bench.watched}/moving`, `${bench.watched}/x`);
  await bench.observe("x", "x/one");
  await Deno.rename(`${bench.watched}/x`, `${bench.watched}/new`);
  await bench.observe("new", "x");
  bench.attach();
  await bench.inSync();
  assert.equal(bench.acked("x/one"), null);
  assert.equal(bench.acked("new")?.kind, "file");
});

Deno.test("send: refusals that last stay in pending with their reason; others are tried again, with attempts", async () => {
  const clock = new ManualClock();
  await using bench = await SendBench.open(clock);
  await bench.write("bad", "x");
  await bench.write("later", "x");
  await bench.observe("bad", "later");
  bench.answer = ({ header }) =>
    header.path === "bad"
      ? { status: "error", code: "unsupported_name", message: "no such names here" }
      : { status: "error", code: "no_space", message: "full" };
  bench.attach({ extensions: NO_TREE });
  await eventually("both were answered", () => {
    assert.equal(bench.row("bad")?.state, "refused");
    assert.equal(bench.row("later")?.attempts, 1);
  });
  assert.equal(bench.row("bad")?.reason, "no such names here");
  assert.equal(bench.row("bad")?.code, "unsupported_name");
  const later = bench.row("later")!;
  assert.deepEqual([later.state, later.code, later.reason], ["waiting", "no_space", "full"]);
  assert.ok(later.nextAttemptMs > clock.now() && later.nextAttemptMs <= clock.now() + 1000);
  await clock.advance(1100);
  await eventually("a second attempt", () => assert.equal(bench.row("later")?.attempts, 2));
  assert.equal(bench.operations.filter((text) => text.endsWith("bad")).length, 1, "refused for good");
  bench.answer = () => ({ status: "ok" });
  await clock.advance(2100);
  await eventually("it has gone", () => assert.equal(bench.row("later"), null));
  assert.notEqual(bench.row("bad"), null);
  // A new state is a new chance.
  await bench.write("bad", "xy");
  await bench.observe("bad");
  await eventually("it has gone", () => assert.equal(bench.row("bad"), null));
  const errors = bench.store.log.newest(100, "bad").filter((row) => row.status === "error");
  assert.equal(errors[0]?.error, "no such names here");
});

Deno.test("send: what failed is tried again in its time, also while something else is under way", async () => {
  const clock = new ManualClock();
  await using bench = await SendBench.open(clock);
  await bench.write("full", "x");
  await bench.write("slow", "x");
  await bench.observe("full", "slow");
  bench.answer = ({ header }) =>
    header.path === "slow" ? null : { status: "error", code: "no_space", message: "full" };
  bench.attach({ extensions: NO_TREE });
  await eventually("a first attempt", () => assert.equal(bench.row("full")?.attempts, 1));
  await clock.advance(1100);
  await eventually("a second attempt", () => assert.equal(bench.row("full")?.attempts, 2));
  bench.answer = () => ({ status: "ok" });
  await clock.advance(2100);
  await eventually("it has gone", () => assert.equal(bench.row("full"), null));
  assert.equal(
    bench.operations.filter((text) => text.endsWith("slow")).length,
    1,
    "that is on its way still",
  );
});

Deno.test("send: `pending retry` sends what was refused again", async () => {
  await using bench = await SendBench.open();
  await bench.write("bad", "x");
  await bench.observe("bad");
  bench.answer = () => ({ status: "error", code: "owned_by_other", message: "no" });
  bench.attach();
  await eventually("refused", () => assert.equal(bench.row("bad")?.state, "refused"));
  bench.answer = () => ({ status: "ok" });
  bench.store.pending.retryAll();
  bench.sender.rescan();
  await bench.inSync();
});

Deno.test("send: one attempt is counted once, also when something in the way is refused", async () => {
  await using bench = await SendBench.open(new ManualClock());
  await bench.write("x/y", "in");
  await bench.observe("x", "x/y");
  bench.attach();
  await eventually("sent", () => assert.notEqual(bench.acked("x/y"), null));
  await Deno.remove(`${bench.watched}/x`, { recursive: true });
  await bench.write("x", "file");
  bench.answer = ({ header }) =>
    header.path === "x" ? { status: "error", code: "folder_not_empty", message: "no" } : { status: "ok" };
  await bench.observe("x", "x/y");
  await eventually("refused", () => assert.notEqual(bench.row("x")?.code ?? null, null));
  assert.equal(bench.row("x")?.attempts, 1);
});

Deno.test("send: to a peer whose disk folds case, `A` is deleted before `a` is created", async () => {
  await using bench = await SendBench.open();
  await bench.write("A", "content");
  await bench.write("Dir/f", "f");
  await bench.observe("A", "Dir", "Dir/f");
  bench.attach({ folding: { case: true, unicode: true } });
  await bench.inSync();
  bench.far.frames.length = 0;
  await Deno.rename(`${bench.watched}/A`, `${bench.watched}/a`);
  await Deno.rename(`${bench.watched}/Dir`, `${bench.watched}/dir`);
  await bench.observe("a", "A", "dir", "dir/f", "Dir", "Dir/f");
  await bench.inSync();
  before(bench, "delete A", "create a");
  before(bench, "delete Dir/f", "create dir/f");
  before(bench, "delete Dir/", "create dir/");
  assert.equal(bench.operations.filter((text) => text === "delete A").length, 1);
});

Deno.test("send: to a peer that does not fold case, both names go side by side", async () => {
  await using bench = await SendBench.open();
  await bench.write("A", "1");
  await bench.write("a", "2");
  await bench.observe("A", "a");
  bench.attach();
  await bench.inSync();
  assert.deepEqual(bench.operations.toSorted(), ["create A", "create a"]);
});

Deno.test("send: a name that was refused for its twin goes when a comparison finds the twin gone", async () => {
  await using bench = await SendBench.open();
  await bench.write("a", "content");
  await bench.observe("a");
  let there = true;
  bench.answer = ({ header }) => {
    if (header.action === "tree" || header.action === "tree_buckets") {
      return answerTree(bench, header, new Uint8Array());
    }
    if (header.action === "delete") {
      // The peer has deleted it, and the link ends before it can say so.
      there = false;
      bench.far.close();
      return null;
    }
    return header.path === "A" && there
      ? { status: "error", code: "unsupported_name", message: "there is `a`" }
      : { status: "ok" };
  };
  const options = { extensions: EXTENSIONS, folding: { case: true, unicode: false } };
  bench.attach(options);
  await bench.inSync();
  await bench.write("A", "another");
  await bench.observe("A");
  await eventually("it is refused", () => assert.equal(bench.row("A")?.state, "refused"));
  await Deno.remove(`${bench.watched}/a`);
  await bench.observe("a");
  await eventually("detached", () => assert.equal(bench.sender.isAttached, false));
  bench.attach(options);
  await bench.inSync();
  assert.equal(bench.acked("A")?.kind, "file");
});

Deno.test("send: a path that changes while it is in flight goes out again, one at a time", async () => {
  await using bench = await SendBench.open();
  await bench.write("f", "v1");
  await bench.observe("f");
  const held: Frame[] = [];
  bench.answer = (frame) => {
    held.push(frame);
    return null;
  };
  bench.attach();
  await eventually("in flight", () => assert.equal(held.length, 1));
  for (const version of ["version 2", "version 3!"]) {
    await bench.write("f", version);
    await bench.observe("f");
  }
  await turns();
  assert.equal(held.length, 1, "one operation per path in flight");
  assert.notEqual(bench.row("f"), null);
  await bench.far.send({ status: "ok", id: held[0]!.header.id });
  await eventually("again", () => assert.equal(held.length, 2));
  assert.equal(lastContent(bench, "f").content, "version 3!");
  assert.notEqual(bench.row("f"), null, "pending until its ack");
  await bench.far.send({ status: "ok", id: held[1]!.header.id });
  await bench.inSync();
  assert.equal(bench.acked("f")?.hash, sha256("version 3!"));
});

Deno.test("send: a file that becomes a folder while it is on its way is deleted before the folder goes", async () => {
  await using bench = await SendBench.open();
  const held: Frame[] = [];
  bench.answer = (frame) => {
    held.push(frame);
    return null;
  };
  bench.attach();
  await bench.write("x", "a file");
  await bench.observe("x");
  await eventually("it is on its way", () => assert.equal(held.length, 1));
  await Deno.remove(`${bench.watched}/x`);
  await Deno.mkdir(`${bench.watched}/x`);
  // Noted when the peer was not known to have anything at x: its answer changes that.
  await bench.observe("x");
  bench.answer = () => ({ status: "ok" });
  await bench.far.send({ status: "ok", id: held[0]!.header.id });
  await bench.inSync();
  assert.deepEqual(bench.operations, ["create x", "delete x", "create x/"]);
});

Deno.test("send: a path that is deleted while it is in flight is deleted afterwards", async () => {
  await using bench = await SendBench.open();
  await bench.write("f", "v1");
  await bench.observe("f");
  const held: Frame[] = [];
  bench.answer = (frame) => {
    if (held.length > 0) return { status: "ok" };
    held.push(frame);
    return null;
  };
  bench.attach();
  await eventually("in flight", () => assert.equal(held.length, 1));
  await Deno.remove(`${bench.watched}/f`);
  await bench.observe("f");
  await bench.far.send({ status: "ok", id: held[0]!.header.id });
  await eventually("deleted", () => assert.deepEqual(bench.operations, ["create f", "delete f"]));
  await bench.inSync();
});

Deno.test("send: a folder is not deleted while something is still on its way into it", async () => {
  await using bench = await SendBench.open();
  await bench.write("d/f", "f");
  await bench.write("other", "other");
  await bench.observe("d", "other");
  bench.attach();
  await bench.inSync();
  bench.far.frames.length = 0;
  const held: Frame[] = [];
  bench.answer = (frame) => {
    if (frame.header.path !== "d/f" || held.length > 0) return { status: "ok" };
    held.push(frame);
    return null;
  };
  await bench.observe("d/f");
  await eventually("in flight", () => assert.equal(held.length, 1));
  await Deno.remove(`${bench.watched}/d`, { recursive: true });
  await Deno.remove(`${bench.watched}/other`);
  await bench.observe("d/f", "d", "other");
  // Deletions go in the opposite order of their paths: this one would have gone after that of the folder.
  await eventually("others go on", () => assert.ok(bench.operations.includes("delete other")));
  await bench.far.send({ status: "ok", id: held[0]!.header.id });
  await bench.inSync();
  before(bench, "create d/f", "delete d/f");
  before(bench, "delete d/f", "delete d/");
  assert.equal(bench.operations.filter((operation) => operation === "delete d/").length, 1);
});

Deno.test("send: what is made in a folder that is just being deleted waits until that was made again", async () => {
  await using bench = await SendBench.open();
  await Deno.mkdir(`${bench.watched}/d`);
  await bench.observe("d");
  bench.attach();
  await bench.inSync();
  bench.far.frames.length = 0;
  const held: Frame[] = [];
  bench.answer = (frame) => {
    if (frame.header.action !== "delete") return { status: "ok" };
    held.push(frame);
    return null;
  };
  await Deno.remove(`${bench.watched}/d`);
  await bench.observe("d");
  await eventually("its deletion is on its way", () => assert.equal(held.length, 1));
  await bench.write("d/f", "f");
  await bench.write("other", "other");
  await bench.observe("d", "d/f", "other");
  await eventually("others go on", () => assert.ok(bench.operations.includes("create other")));
  await bench.far.send({ status: "ok", id: held[0]!.header.id });
  await bench.inSync();
  assert.deepEqual(bench.operations.filter((each) => each !== "create other"), [
    "delete d/",
    "create d/",
    "create d/f",
  ]);
});

Deno.test("send: a folder that becomes a file is not deleted while something is still on its way into it", async () => {
  await using bench = await SendBench.open();
  await bench.write("d/old", "old");
  await bench.observe("d", "d/old");
  bench.attach();
  await bench.inSync();
  let held: Frame | null = null;
  bench.answer = (frame) => {
    if (frame.header.path !== "d/new") return { status: "ok" };
    held = frame;
    bench.answer = () => ({ status: "ok" });
    return null;
  };
  await bench.write("d/new", "new");
  await bench.observe("d/new");
  await eventually("it is on its way", () => assert.notEqual(held, null));
  await Deno.remove(`${bench.watched}/d`, { recursive: true });
  await bench.write("d", "file");
  await bench.write("other", "other");
  await bench.observe("d", "d/old", "d/new", "other");
  await eventually("others go on", () => assert.ok(bench.operations.includes("create other")));
  await turns();
  assert.ok(!bench.operations.includes("delete d/"), `${bench.operations}`);
  await bench.far.send({ status: "ok", id: held!["header"]["id"] });
  await bench.inSync();
  before(bench, "delete d/new", "delete d/");
  assert.equal(bench.acked("d")?.kind, "file");
});

/** A file that is more than the window holds, and nothing that could be packed: it stops half-way. */
async function halfWay(bench: SendBench, path: string): Promise<void> {
  const block = crypto.getRandomValues(new Uint8Array(65_536));
  await bench.write(path, new Uint8Array(320 * block.length).map((_, i) => block[i % block.length]!));
  await bench.observe(path);
  const pieces = () => bench.far.frames.filter(({ header }) => header.action === "piece");
  await eventually("it travels", () => assert.ok(pieces().length > 10));
}

Deno.test("send: a large file that is removed while it travels is given up at once, and its deletion does not wait", async () => {
  // No time passes: what waits for another attempt waits for ever.
  await using bench = await SendBench.open(new ManualClock());
  await bench.write("big", "v1".repeat(200_000));
  await bench.observe("big");
  bench.attach();
  await bench.inSync();
  await halfWay(bench, "big");
  await Deno.remove(`${bench.watched}/big`);
  await bench.observe("big");
  await bench.far.send({ action: "credit", bytes: 2_000_000 });
  await bench.inSync();
  assert.ok(bench.far.frames.some(({ header }) => header.action === "abort"), "the peer is told");
  assert.deepEqual(bench.operations, ["create big", "delete big"]);
});

/** Another file takes the name of one that travels. */
async function replace(bench: SendBench, path: string, first: number): Promise<Uint8Array> {
  const content = crypto.getRandomValues(new Uint8Array(65_536));
  const whole = new Uint8Array(320 * content.length).map((_, i) => content[i % content.length]! ^ first);
  await put(`${bench.folder}/next`, whole);
  await Deno.rename(`${bench.folder}/next`, `${bench.watched}/${path}`);
  await bench.observe(path);
  return whole;
}

Deno.test("send: a large file that another one replaces while it travels is given up at once", async () => {
  await using bench = await SendBench.open();
  bench.attach();
  await halfWay(bench, "big");
  const newer = await replace(bench, "big", 1);
  await bench.far.send({ action: "credit", bytes: 1_000_000 });
  await eventually(
    "the peer is told",
    () => assert.ok(bench.far.frames.some(({ header }) => header.action === "abort")),
  );
  await bench.far.send({ action: "credit", bytes: 40_000_000 });
  await bench.inSync();
  assert.deepEqual(bench.operations, ["create big"], "the version that is gone was not sent to its end");
  assert.equal(bench.acked("big")?.hash, sha256(newer));
});

Deno.test("send: a large file that is replaced again and again arrives all the same, in versions", async () => {
  await using bench = await SendBench.open();
  bench.attach();
  await halfWay(bench, "big");
  const count = (action: string) => bench.far.frames.filter(({ header }) => header.action === action).length;
  let last: Uint8Array = new Uint8Array();
  for (let round = 1; round <= 3; round++) {
    const aborts = count("abort");
    last = await replace(bench, "big", round);
    await bench.far.send({ action: "credit", bytes: 3_000_000 });
    if (round === 3) break;
    await eventually("given up", () => assert.ok(count("abort") > aborts));
    const pieces = count("piece");
    await eventually("it travels again", () => assert.ok(count("piece") > pieces + 3), { deadlineMs: 8000 });
  }
  await bench.far.send({ action: "credit", bytes: 90_000_000 });
  await eventually("a version has arrived", () => assert.notEqual(bench.acked("big"), null), {
    deadlineMs: 8000,
  });
  assert.equal(count("abort"), 2);
  await bench.observe("big");
  await bench.inSync();
  assert.equal(bench.acked("big")?.hash, sha256(last));
});

Deno.test("send: a large file is deleted after those that came with that, which may be made of it", async () => {
  for (const refused of [false, true]) {
    await using bench = await SendBench.open();
    await bench.write("v1", "a version\n".repeat(100_000));
    await bench.observe("v1");
    bench.attach();
    await bench.inSync();
    bench.far.frames.length = 0;
    let room = !refused;
    bench.answer = ({ header }) => {
      if (header.action === "piece") return null;
      if (header.action === "delete") room = true;
      return room ? { status: "ok" } : { status: "error", code: "no_space", message: "no room" };
    };
    await bench.write("v2", "a version\n".repeat(100_000) + "more\n");
    await Deno.remove(`${bench.watched}/v1`);
    await bench.observe("v1", "v2");
    await bench.inSync();
    const expected = ["create v2", "delete v1"];
    assert.deepEqual(bench.operations, refused ? [...expected, "create v2"] : expected);
  }
});

Deno.test("send: a large file that is renamed while it travels goes on when it was given up under its old name", async () => {
  await using bench = await SendBench.open(new ManualClock());
  bench.attach();
  await halfWay(bench, "big");
  await Deno.rename(`${bench.watched}/big`, `${bench.watched}/new`);
  // The new name is seen first.
  await bench.observe("new");
  const before = bench.far.frames.length;
  await bench.far.send({ action: "credit", bytes: 1_000_000 });
  await eventually("some more went", () => assert.ok(bench.far.frames.length >= before + 3));
  await bench.observe("big");
  await bench.far.send({ action: "credit", bytes: 30_000_000 });
  await bench.inSync();
  const pieces = bench.far.frames.filter(({ header }) =>
    header.action === "piece" || header.action === "abort"
  );
  const steps = pieces.map(({ header }) => header.action === "abort" ? "abort" : String(header.path));
  assert.deepEqual(steps.filter((step, i) => step !== steps[i - 1]), ["big", "abort", "new"]);
  assert.deepEqual(bench.operations, ["create new"]);
});

Deno.test("send: a path that the database does not know but that is on the disk is not deleted", async () => {
  await using bench = await SendBench.open();
  await bench.write("there", "content");
  await bench.write("d/in", "content");
  const state = {
    kind: "file",
    sizeBytes: 7,
    mtimeMs: 0,
    executable: false,
    hash: sha256("content"),
  } as const;
  for (const path of ["there", "gone", "d/in"]) {
    bench.store.acked.put(bench.peer, path as RelativePath, state);
  }
  bench.store.transaction(() => {
    for (const path of ["there", "gone", "d/in"] as RelativePath[]) {
      bench.store.pending.put({
        peer: bench.peer,
        path,
        action: "delete",
        kind: "file",
        sizeBytes: 0,
        sinceMs: 0,
        movedTo: null,
        movedFrom: null,
      });
    }
  });
  bench.attach();
  await eventually("done", () => assert.deepEqual(bench.store.pending.list(bench.peer), []));
  assert.deepEqual(bench.operations, ["delete gone"]);
  assert.notEqual(bench.acked("there"), null);
});

Deno.test("send: a path that is seen again just when its deletion is called off stays pending", async () => {
  await using bench = await SendBench.open();
  const path = "f" as RelativePath;
  const old = { kind: "file", sizeBytes: 3, mtimeMs: 0, executable: false, hash: sha256("old") } as const;
  bench.store.acked.put(bench.peer, path, old);
  await bench.write("f", "made again");
  await bench.observe("f");
  const called = {
    path,
    action: "delete",
    id: "",
    state: null,
    read: null,
    wireBytes: 0,
    chunks: null,
  } as const;
  const route = { store: bench.store, peer: { number: bench.peer, name: "bert" }, name: "anna" };
  bench.store.transaction(() =>
    recordFailure(route, { ...called, reply: STILL_THERE, silent: true }, [], Date.now(), () => 0.5)
  );
  assert.equal(bench.store.pending.get(bench.peer, path)?.action, "update");
  bench.attach();
  await bench.inSync();
  assert.deepEqual(bench.operations, ["update f"]);
});

Deno.test("send: a file that changes while it is read is looked at again and not sent half", async () => {
  await using bench = await SendBench.open(new ManualClock());
  await bench.write("f", "first half");
  await bench.observe("f");
  let changed = false;
  bench.tree.after = async ({ method, args }) => {
    if (changed || method !== "readAt" || args[0] !== "f") return;
    changed = true;
    await Deno.writeTextFile(`${bench.watched}/f`, "changed meanwhile");
  };
  bench.attach();
  await eventually("looked again", () => assert.deepEqual(bench.lookedAgain, ["f"]));
  assert.deepEqual(bench.operations, []);
  assert.equal(bench.row("f")?.code, "changed_while_reading");
  await bench.observe("f");
  await bench.inSync();
  assert.equal(lastContent(bench, "f").content, "changed meanwhile");
});

for (const [size, start] of [["small", 100], ["large", 400_000]] as const) {
  Deno.test(`send: a ${size} file that never rests is sent as a version that existed`, async () => {
    await using bench = await SendBench.open(new ManualClock());
    const line = "a line of a log that grows\n";
    let text = line.repeat(Math.ceil(start / line.length));
    await bench.write("log", text);
    await bench.observe("log");
    // Every look at it and every read finds it longer.
    let grow = true;
    bench.tree.before = async ({ method, args }) => {
      if (!grow || args[0] !== "log" || (method !== "stat" && method !== "readAt")) return;
      text += line;
      await Deno.writeTextFile(`${bench.watched}/log`, line, { append: true });
    };
    for (let attempt = 0; attempt < 2; attempt++) {
      bench.store.pending.fail(bench.peer, "log" as RelativePath, "changed_while_reading", "", 0);
    }
    bench.attach();
    await eventually("acknowledged", () => assert.notEqual(bench.acked("log"), null));
    grow = false;
    const { content, hash } = lastContent(bench, "log");
    assert.ok(content.length >= start && text.startsWith(content), "a prefix of the log");
    assert.equal(sha256(content), hash);
    assert.equal(bench.acked("log")?.hash, hash);
    // The rest follows.
    await bench.observe("log");
    await bench.inSync();
    // (A large one comes as what differs from the version before.)
    assert.equal(lastContent(bench, "log").hash, sha256(text));
  });
}

Deno.test("send: a file that cannot be read stays pending with its reason, the others go on", async () => {
  await using bench = await SendBench.open();
  for (const name of ["a", "b", "c"]) await bench.write(name, name);
  await bench.observe("a", "b", "c");
  bench.tree.before = ({ method, args }) => {
    if (method === "openRead" && args[0] === "b") throw new FileError("denied", "cannot read b");
  };
  bench.attach();
  await eventually("b failed, the others went", () => {
    assert.equal(bench.row("b")?.code, "no_permission");
    assert.equal(bench.row("a"), null);
    assert.equal(bench.row("c"), null);
  });
  assert.deepEqual(bench.operations, ["create a", "create c"]);
});

Deno.test("send: a large file is offered when its hash is known, and sent in pieces when the peer lacks it", async () => {
  await using bench = await SendBench.open();
  const content = "0123456789".repeat(60_000);
  await bench.write("big", content);
  await bench.observe("big");
  bench.answer = ({ header }) =>
    header.action === "piece"
      ? null
      : header.offer === true
      ? { status: "error", code: "content_needed", message: "send it" }
      : { status: "ok" };
  bench.attach();
  await bench.inSync();
  assert.equal(lastContent(bench, "big").content, content);
  assert.equal(bench.acked("big")?.hash, sha256(content));
});

Deno.test("send: also what was sent in part, or plainly, is remembered by all of its chunks", async () => {
  const noise = new Uint8Array(3_000_000);
  for (let at = 0; at < noise.length; at += 60_000) crypto.getRandomValues(noise.subarray(at, at + 60_000));
  const chunksAfter = async (answer: (turn: unknown) => JsonObject | null, content: Uint8Array) => {
    await using bench = await SendBench.open();
    await bench.write("big", content);
    await bench.observe("big");
    bench.answer = ({ header }) => {
      if (header.action !== "piece") return { status: "ok" };
      const reply = answer(header["turn"]);
      if (reply !== null) void bench.far.send({ action: "resume", id: header.id, ...reply });
      return null;
    };
    bench.attach();
    await bench.inSync();
    const sent = bench.far.frames.filter(({ header }) => header.action === "piece");
    const chunks = bench.store.chunkLists.get(sha256(content));
    return { chunks, offsets: sent.map(({ header }) => Number(header["offset"])) };
  };
  const { chunks } = await chunksAfter(() => null, noise);
  assert.notEqual(chunks, null);
  const from = 1_234_567;
  const marks = [[from, sha256(noise.subarray(0, from))]];
  const resumed = await chunksAfter(
    (turn) => turn === undefined ? { turn: 1, marks, plain: 0 } : null,
    noise,
  );
  assert.ok(resumed.offsets.includes(from));
  assert.deepEqual(resumed.chunks, chunks);
  const plain = await chunksAfter(
    (turn) => turn === undefined ? { turn: 1, marks, plain: 2_000_000 } : null,
    noise,
  );
  assert.deepEqual(plain.chunks, chunks);
});

Deno.test("send: a refusal while a large file travels ends it, and is counted once", async () => {
  await using bench = await SendBench.open(new ManualClock());
  await bench.write("big", "x".repeat(30_000_000));
  await bench.observe("big");
  let refused = false;
  bench.answer = ({ header }) => {
    if (header.action !== "piece" || refused) return null;
    refused = true;
    return { status: "error", code: "no_space", message: "full" };
  };
  bench.attach({ extensions: NO_TREE.filter((extension) => extension !== "credit") });
  await eventually("refused", () => assert.equal(bench.row("big")?.code, "no_space"));
  assert.equal(bench.row("big")?.attempts, 1);
  const pieces = bench.far.frames.filter(({ header }) => header.action === "piece").length;
  assert.ok(pieces < 100, `${pieces} of 115 pieces travelled after the refusal of the first`);
});

Deno.test("send: `content_needed` to what was no offer is a failure like any other, with its reason and a time to try again", async () => {
  await using bench = await SendBench.open(new ManualClock());
  await bench.write("small", "s");
  await bench.write("big", "x".repeat(400_000));
  bench.answer = ({ header }) =>
    header.action === "piece" ? null : { status: "error", code: "content_needed", message: "send it" };
  bench.attach();
  await bench.observe("small", "big");
  for (const path of ["small", "big"]) {
    await eventually("it has failed", () => assert.equal(bench.row(path)?.code, "content_needed"));
    assert.equal(bench.row(path)?.attempts, 1);
    assert.equal(bench.row(path)?.reason, "send it");
  }
  await turns(200);
  assert.equal(bench.operations.length, 2, "nothing is repeated at once");
});

/** A large file whose receiver answers each first piece of a turn with a `resume`; gives the path's row when it has failed. */
async function afterResumes(answer: (turn: number) => JsonObject, content: Uint8Array = new Uint8Array(0)) {
  await using bench = await SendBench.open(new ManualClock());
  await bench.write("big", crypto.getRandomValues(new Uint8Array(60_000)));
  await Deno.truncate(`${bench.watched}/big`, 400_000);
  let turn = 0;
  bench.answer = ({ header }) => {
    if (header.action === "piece" && Number(header.turn ?? 0) === turn) {
      turn++;
      void bench.far.send({ action: "resume", id: header.id, ...answer(turn) }, content);
    }
    return null;
  };
  bench.attach({ extensions: NO_TREE.filter((extension) => extension !== "credit") });
  await bench.observe("big");
  const row = await eventually("it has failed", () => {
    const row = bench.row("big");
    assert.ok(row?.reason);
    return row;
  }, { deadlineMs: 20_000 });
  await eventually(
    "it is given up",
    () => assert.ok(bench.far.frames.some(({ header }) => header.action === "abort")),
  );
  return { row, turn };
}

Deno.test("send: a receiver that asks for a file from elsewhere again and again is not sent to for ever", async () => {
  const { row, turn } = await afterResumes((turn) => ({ turn, marks: [[0, sha256("")]], plain: 0 }));
  assert.match(row.reason!, /had to be begun elsewhere 200 times/);
  assert.equal(row.attempts, 1);
  assert.ok(turn <= 202, `${turn}`);
});

Deno.test("send: a `resume` that cannot be understood ends the transfer with the reason", async () => {
  for (const answer of [{ turn: 1 }, { turn: 0, marks: [] }, { turn: "1", marks: [] }] as JsonObject[]) {
    const { row } = await afterResumes(() => answer);
    assert.match(row.reason!, /`resume` cannot be understood/);
  }
  const long = await afterResumes(
    () => ({ turn: 1, marks: [], plain: 0, has: "0".repeat(64) }),
    new Uint8Array(21_000_000),
  );
  assert.match(long.row.reason!, /list of chunks is longer/);
});

Deno.test("send: keep-alive is no work, and what is sent, answered or read is", async () => {
  const clock = new ManualClock();
  await using bench = await SendBench.open(clock);
  bench.attach();
  await clock.advance(60_000);
  assert.ok(bench.far.frames.some(({ header }) => header.action === "ping"), "the link is kept alive");
  assert.equal(bench.link.isClosed, false);
  assert.ok(bench.link.silentMs >= 60_000, `${bench.link.silentMs}`);
  assert.equal(bench.link.isAwaiting, false);
  bench.answer = () => null;
  await bench.write("file", "content");
  await bench.observe("file");
  await eventually("it is on its way", () => assert.equal(bench.operations.length, 1));
  assert.equal(bench.link.isAwaiting, true);
  assert.equal(bench.link.silentMs, 0, "sending is work");
  bench.answer = ({ header }) => header.action === "ping" ? { status: "ok" } : null;
  await clock.advance(30_000);
  assert.ok(bench.link.silentMs >= 30_000, `${bench.link.silentMs}`);
  await bench.far.send({
    status: "ok",
    id: bench.far.frames.find(({ header }) => header.path === "file")!.header.id,
  });
  await bench.inSync();
  assert.equal(bench.link.silentMs, 0, "an answer is work");
  await clock.advance(30_000);
  bench.link.working();
  assert.equal(bench.link.silentMs, 0);
});

Deno.test("send: an ok that comes before all of a large file was sent is none", async () => {
  await using bench = await SendBench.open(new ManualClock());
  await bench.write("big", "x".repeat(14_000_000));
  let answered = false;
  bench.answer = ({ header }) => {
    if (header.action !== "piece") return { status: "ok" };
    if (answered) return null;
    answered = true;
    return { status: "ok" };
  };
  bench.attach();
  await bench.observe("big");
  await eventually(
    "it has failed",
    () => assert.match(bench.row("big")?.reason ?? "", /before all of the file was sent/),
  );
  assert.equal(bench.acked("big"), null);
});

Deno.test("send: a plain peer gets one operation at a time, no folders, nothing but plain fields", async () => {
  await using bench = await SendBench.open();
  await bench.write("d/a", "a");
  await bench.write("d/b", "b");
  await bench.write("c", "c");
  await bench.observe("d", "d/a", "d/b", "c");
  let open = 0;
  bench.answer = ({ header }) => {
    assert.equal(++open, 1, "one at a time");
    // A plain peer may leave out the id.
    queueMicrotask(() => {
      open--;
      void bench.far.send({ status: "ok" });
    });
    assert.deepEqual(Object.keys(header).toSorted(), [
      "action",
      "compressed",
      "hash",
      "id",
      "path",
      "sender",
      "size",
      "timestamp",
    ]);
    return null;
  };
  bench.attach({ extensions: null });
  await bench.inSync();
  assert.deepEqual(bench.operations.toSorted(), ["create c", "create d/a", "create d/b"]);
  await Deno.remove(`${bench.watched}/d`, { recursive: true });
  await bench.observe("d", "d/a", "d/b");
  await bench.inSync();
  assert.deepEqual(bench.operations.slice(3).toSorted(), ["delete d/a", "delete d/b"]);
});

/** A change, what is done before its answer could be repeated, and what the peer must be told then. */
const UNDONE: readonly {
  readonly what: string;
  readonly change: (bench: SendBench) => Promise<void>;
  readonly undo: (bench: SendBench) => Promise<void>;
  readonly expected: readonly string[];
}[] = [
  {
    what: "a file that was made goes again",
    change: async (bench) => {
      await bench.write("new", "new");
      await bench.observe("new");
    },
    undo: async (bench) => {
      await Deno.remove(`${bench.watched}/new`);
      await bench.observe("new");
    },
    expected: ["delete new"],
  },
  {
    what: "a file that was made is renamed",
    change: async (bench) => {
      await bench.write("new", "new");
      await bench.observe("new");
    },
    undo: async (bench) => {
      await Deno.rename(`${bench.watched}/new`, `${bench.watched}/newer`);
      await bench.observe("newer", "new");
    },
    expected: ["create newer", "delete new"],
  },
  {
    what: "the version before comes back",
    change: async (bench) => {
      await Deno.rename(`${bench.watched}/old`, `${bench.folder}/kept`);
      await bench.write("old", "edited");
      await bench.observe("old");
    },
    undo: async (bench) => {
      await Deno.rename(`${bench.folder}/kept`, `${bench.watched}/old`);
      await bench.observe("old");
    },
    expected: ["update old"],
  },
  {
    what: "a file that was deleted comes back",
    change: async (bench) => {
      await Deno.rename(`${bench.watched}/old`, `${bench.folder}/kept`);
      await bench.observe("old");
    },
    undo: async (bench) => {
      await Deno.rename(`${bench.folder}/kept`, `${bench.watched}/old`);
      await bench.observe("old");
    },
    expected: ["update old"],
  },
];

for (const { what, change, undo, expected } of UNDONE) {
  Deno.test(`send: a plain peer's answer is lost, and ${what}: it is told`, async () => {
    await using bench = await SendBench.open();
    await bench.write("old", "old");
    await bench.observe("old");
    bench.attach({ extensions: null });
    await bench.inSync();
    // It does what it is asked to, and is gone before it has said so.
    const asked = Promise.withResolvers<void>();
    bench.answer = () => {
      asked.resolve();
      return null;
    };
    await change(bench);
    await asked.promise;
    bench.far.close();
    await eventually("detached", () => assert.equal(bench.sender.isAttached, false));
    await undo(bench);
    assert.equal(bench.sender.inSync, false);
    assert.notDeepEqual(bench.store.pending.list(bench.peer), [], "what nobody knows of is pending");
    bench.answer = () => ({ status: "ok" });
    bench.attach({ extensions: null });
    await bench.inSync();
    assert.deepEqual(bench.operations.toSorted(), expected);
  });
}

Deno.test("send: what a plain peer has refused it does not have: nothing is sent when the file goes", async () => {
  await using bench = await SendBench.open();
  await bench.write("bad", "bad");
  await bench.observe("bad");
  bench.answer = () => ({ status: "error", code: "not_owned", message: "not here" });
  bench.attach({ extensions: null });
  await eventually("refused", () => assert.equal(bench.row("bad")?.state, "refused"));
  await Deno.remove(`${bench.watched}/bad`);
  await bench.observe("bad");
  await bench.inSync();
  assert.deepEqual(bench.operations, ["create bad"]);
});

Deno.test("send: to a plain peer a large file that shrinks is compressed, one that doesn't is not", async () => {
  await using bench = await SendBench.open();
  const text = "all work and no play ".repeat(40_000);
  const noise = new Uint8Array(600_000);
  for (let at = 0; at < noise.length; at += 60_000) {
    crypto.getRandomValues(noise.subarray(at, at + 60_000));
  }
  await bench.write("text", text);
  await bench.write("noise", noise);
  await bench.observe("text", "noise");
  bench.attach({ extensions: null });
  await bench.inSync();
  const of = (path: string) => bench.far.frames.find(({ header }) => header.path === path)!;
  assert.equal(of("text").header.compressed, true);
  assert.ok(of("text").content.length < text.length / 10);
  assert.equal(gunzipSync(of("text").content).toString(), text);
  assert.equal(of("text").header.size, text.length);
  assert.equal(of("text").header.hash, sha256(text));
  assert.equal(of("noise").header.compressed, false);
  assert.equal(sha256(of("noise").content), of("noise").header.hash);
});

Deno.test("send: a link that goes away leaves everything pending, and the next one sends it", async () => {
  await using bench = await SendBench.open();
  await bench.write("a", "a");
  await bench.observe("a");
  bench.answer = () => null;
  bench.attach();
  await eventually("in flight", () => assert.equal(bench.operations.length, 1));
  bench.far.close();
  await eventually("detached", () => assert.equal(bench.sender.isAttached, false));
  assert.notEqual(bench.row("a"), null);
  bench.answer = () => ({ status: "ok" });
  bench.attach();
  await bench.inSync();
});

Deno.test("send: a name in the way that may not be deleted does not keep the sender busy for ever", async () => {
  await using bench = await SendBench.open();
  await bench.write("A", "still here, but the database does not know");
  await bench.write("a", "new");
  const state = { kind: "file", sizeBytes: 1, mtimeMs: 0, executable: false, hash: "0".repeat(64) } as const;
  bench.store.acked.put(bench.peer, "A" as RelativePath, state);
  await bench.observe("a");
  let looks = 0;
  bench.tree.before = ({ method }) => {
    if (method === "lstat") looks++;
  };
  bench.attach({ folding: { case: true, unicode: false } });
  await eventually("it has looked", () => assert.ok(looks > 0));
  await turns(500);
  assert.deepEqual(bench.operations.filter((text) => text === "delete A"), []);
  assert.ok(looks < 10, `${looks} looks in no time: it goes round in circles`);
});

for (const modes of [true, false]) {
  const can = modes ? "can" : "cannot";
  Deno.test(`send: an executable bit that the peer ${can} keep does not travel again at every comparison`, async () => {
    const { bench, writes } = await compared({ modes });
    await using _ = bench;
    assert.deepEqual(writes, []);
  });
}

/** A sender whose peer has everything, seen by a comparison of trees; what was sent after it. */
async function compared(
  options: { modes: boolean },
): Promise<{ bench: SendBench; writes: string[] }> {
  const bench = await SendBench.open();
  await bench.write("run.sh", "#!");
  await Deno.chmod(`${bench.watched}/run.sh`, 0o755);
  await bench.observe("run.sh");
  // Without modes the receiver leaves the bit as it is: off.
  const held = () => {
    const acked = bench.far.frames.findLast(({ header }) => header.path === "run.sh")!.header;
    const line = ["run.sh", "file", 2, Date.parse(String(acked.timestamp)), options.modes, acked.hash];
    return new TextEncoder().encode(JSON.stringify(line) + "\n");
  };
  bench.answer = ({ header }) => {
    if (header.action !== "tree" && header.action !== "tree_buckets") return { status: "ok" };
    const none = !bench.far.frames.some((frame) => frame.header.path === "run.sh");
    return answerTree(bench, header, none ? new Uint8Array() : held());
  };
  const extensions = EXTENSIONS.filter((extension) => options.modes || extension !== "modes");
  bench.attach({ extensions });
  await bench.inSync();
  const sent = bench.operations.length;
  bench.sender.compare();
  await eventually("compared", () => assert.equal(bench.sender.inSync, true));
  await bench.inSync();
  return { bench, writes: bench.operations.slice(sent) };
}

/** Answers what a comparison of trees asks, as a peer that holds just what a listing says. */
function answerTree(bench: SendBench, header: JsonObject, listing: Uint8Array): null {
  const entries = parseListing(listing);
  const digests = treeDigests(entries);
  const same = rootDigest(digests) === header.digest;
  const content = header.action === "tree" ? (same ? new Uint8Array() : digests) : listing;
  void bench.far.send({ status: "ok", id: header.id, same, count: entries.length }, content);
  return null;
}

/** Callbacks that throw would end the process. */
class CatchingClock extends SystemClock {
  readonly thrown: unknown[] = [];

  override after(delayMs: number, callback: () => void): () => void {
    return super.after(delayMs, () => {
      try {
        callback();
      } catch (error) {
        this.thrown.push(error);
      }
    });
  }
}

/** A sender with one operation in flight, and the way to acknowledge it. */
async function oneInFlight(clock: CatchingClock): Promise<{ bench: SendBench; ack: () => Promise<void> }> {
  const bench = await SendBench.open(clock);
  await bench.write("a", "a");
  await bench.observe("a");
  const held: Frame[] = [];
  bench.answer = (frame) => {
    held.push(frame);
    return null;
  };
  bench.attach();
  await eventually("in flight", () => assert.equal(held.length, 1));
  return { bench, ack: () => bench.far.send({ status: "ok", id: held[0]!.header.id }) };
}

Deno.test("send: acks that come after the peer was removed do not end the process", async () => {
  const clock = new CatchingClock();
  const { bench, ack } = await oneInFlight(clock);
  await using _ = bench;
  bench.store.peers.remove("bert");
  await ack();
  await turns(50);
  bench.far.close();
  await eventually("detached", () => assert.equal(bench.sender.isAttached, false));
  assert.doesNotThrow(() => bench.sender.stop());
  assert.deepEqual(clock.thrown.map(String), [], "an uncaught error in a timer ends the process");
});

Deno.test("send: an ack that the database refuses to record does not end the process, and is not lost", async () => {
  const clock = new CatchingClock();
  const { bench, ack } = await oneInFlight(clock);
  await using _ = bench;
  const { store } = bench;
  const transaction = store.relaxedTransaction.bind(store);
  let refused = 0;
  store.relaxedTransaction = () => {
    refused++;
    throw new Error("database or disk is full");
  };
  await ack();
  await eventually("refused", () => assert.ok(refused > 0));
  store.relaxedTransaction = transaction;
  assert.deepEqual(clock.thrown.map(String), [], "an uncaught error in a timer ends the process");
  bench.answer = () => ({ status: "ok" });
  await bench.inSync();
});
