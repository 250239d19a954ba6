import assert from "node:assert/strict";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { Link } from "../../src/link/link.ts";
import { Verification } from "../../src/peer/verification.ts";
import { DiskTree } from "../../src/system/disk_tree.ts";
import { operation } from "../helpers/plain_client.ts";
import { put, sha256 } from "../helpers/tree.ts";
import { ReceiveBench } from "../receive/bench.ts";
import { connectionPair, FarEnd, helloOf } from "../receive/support.ts";

const SECRET = "a".repeat(20_000) + "what Bert has sent";
const OURS = "b".repeat(20_000) + "what Anna has sent";

/** A receiver with a verification beside it, that holds a file of Anna's, one of Bert's, and one of nobody's. */
async function bench() {
  const bench = await ReceiveBench.open();
  await Deno.mkdir(`${bench.folder}/watched`);
  const problems: string[] = [];
  const verification = new Verification({
    store: bench.store,
    watched: new DiskTree(`${bench.folder}/watched`),
    synced: bench.tree,
    clock: bench.clock,
    random: bench.random,
    exclusive: (work) => bench.receiver.exclusive(work),
    partners: () => [],
    transferred: () => 0,
    onProblem: (message) => problems.push(message),
  });
  const ends: FarEnd[] = [];
  const link = (peer: { readonly number: number; readonly name: string }, verify = true) => {
    const [far, near] = connectionPair(peer.name, "me");
    const it = new Link({ connection: near, peer, clock: bench.clock, random: bench.random });
    it.becomeFull(helloOf(peer.name, verify ? {} : { extensions: ["folders"] }), helloOf("me"));
    void it.serve(async (l, header, content) => {
      if (l.has("verify") && await verification.takes(l, header, content)) return;
      await bench.receiver.onFrame(l, header, content);
    }).then((error) => it.close(error ?? new Error("ended") as never));
    const end = new FarEnd(far);
    ends.push(end);
    return end;
  };
  await link(bench.anna).accepted(operation("create", "anna.txt", OURS), OURS);
  await link(bench.bert).accepted(operation("create", "bert.txt", SECRET), SECRET);
  await put(`${bench.synced}/mine.txt`, "nobody's business");
  await put(`${bench.folder}/outside.txt`, "outside");
  return {
    bench,
    link,
    problems,
    async [Symbol.asyncDispose]() {
      verification.stop();
      for (const end of ends) end.close();
      await verification.ended();
      await bench[Symbol.asyncDispose]();
      assert.deepEqual(problems, []);
    },
  };
}

const id = () => crypto.randomUUID();
const fetch = (path: unknown, offset: unknown = 0, length: unknown = 10) => ({
  ...{ id: id(), action: "fetch", path, offset, length },
});

Deno.test("fetch: a peer gets what it has sent itself, and nothing else whatever it asks for", async () => {
  await using it = await bench();
  const anna = it.link(it.bench.anna);
  const { header, content } = await anna.request(fetch("anna.txt", 20_000, 1000));
  assert.equal(header.status, "ok");
  assert.equal(new TextDecoder().decode(content), "what Anna has sent");
  for (const path of ["bert.txt", "mine.txt", "nowhere.txt", "d"]) {
    assert.equal((await anna.refused(fetch(path))).code, "not_owned", path);
  }
  for (const path of ["../outside.txt", "/etc/passwd", ".mirrorsync-staging/x", "", 7, null]) {
    assert.match(String((await anna.refused(fetch(path))).code), /^(bad_path|reserved_name|bad_header)$/);
  }
  for (const [offset, length] of [[-1, 1], [0, 0], [0, 1024 * 1024 + 1], ["0", 1], [0, 1.5], [2 ** 60, 1]]) {
    assert.equal((await anna.refused(fetch("anna.txt", offset, length))).code, "bad_header");
  }
  assert.equal((await anna.request(fetch("anna.txt", 2 ** 50, 1))).content.length, 0);
});

Deno.test("fetch: a file that was edited or replaced here since is not given", async () => {
  await using it = await bench();
  const anna = it.link(it.bench.anna);
  const path = `${it.bench.synced}/anna.txt`;
  await Deno.remove(path);
  await Deno.symlink(`${it.bench.folder}/outside.txt`, path);
  await anna.refused(fetch("anna.txt"));
  await Deno.remove(path);
  await Deno.link(`${it.bench.folder}/outside.txt`, path);
  await anna.refused(fetch("anna.txt"));
});

Deno.test("chunks: told of a version that this peer has sent, of no other", async () => {
  await using it = await bench();
  const anna = it.link(it.bench.anna);
  const chunks = (hash: string) => ({ id: id(), action: "chunks", hash });
  assert.equal((await anna.request(chunks(sha256(OURS)))).header.status, "ok");
  // Also when its list is known here.
  it.bench.store.chunkLists.put(
    sha256(SECRET),
    new Uint8Array([2, 10, 0, 0]),
    { averageBits: 10, crcs: [] },
    0,
  );
  assert.equal((await anna.refused(chunks(sha256(SECRET)))).code, "content_needed");
  assert.equal((await anna.refused(chunks("x"))).code, "bad_header");
});

Deno.test("verify: a peer is told of its own files alone, and a repair changes no row that is right", async () => {
  await using it = await bench();
  const anna = it.link(it.bench.anna);
  const paths = { watched: ["there.txt"], synced: ["anna.txt", "bert.txt", "mine.txt", "nowhere.txt"] };
  await put(`${it.bench.folder}/watched/there.txt`, "not observed: it may be ignored");
  const ask = async (action: string, value: unknown) => {
    const { header, content } = await anna.request({ id: id(), action }, JSON.stringify(value));
    assert.equal(header.status, "ok", JSON.stringify(header));
    return JSON.parse(new TextDecoder().decode(content));
  };
  const { synced, findings } = await ask("verify", paths);
  assert.deepEqual(synced, { files: 1, bytes: OURS.length });
  // Whether something is there that this peer did not send, or is not sent, is not told either.
  const told = findings.map((f: { path: string; verdict: string; sizeBytes: number }) => [
    ...[f.path, f.verdict, f.sizeBytes],
  ]);
  const others = ["there.txt", "bert.txt", "mine.txt", "nowhere.txt"];
  assert.deepEqual(told, others.map((path) => [path, "missing", 0]));
  const before = [...it.bench.store.synced.page(it.bench.bert.number, "", 10)];
  const { damaged, mended, failed } = await ask("repair", paths);
  assert.deepEqual([damaged, mended, failed.length], [[], [], 1]);
  assert.deepEqual(it.bench.store.synced.page(it.bench.bert.number, "", 10), before);
  assert.equal(
    it.bench.store.synced.get(it.bench.anna.number, "anna.txt" as RelativePath)!.state.hash,
    sha256(OURS),
  );
});

Deno.test("verify: content that is no request is refused, the link goes on; without the extension nothing is known of it", async () => {
  await using it = await bench();
  const anna = it.link(it.bench.anna);
  for (const content of ["{", "[]", '{"watched":["../x"],"synced":[]}', '{"watched":1}', "\xff"]) {
    assert.equal((await anna.refused({ id: id(), action: "verify" }, content)).code, "bad_content", content);
    assert.equal((await anna.refused({ id: id(), action: "repair" }, content)).code, "bad_content", content);
  }
  assert.equal(
    (await anna.refused({ id: id(), action: "compare" }, new Uint8Array(9 * 1024 * 1024))).code,
    "bad_content",
  );
  const old = it.link(it.bench.anna, false);
  for (const action of ["verify", "repair", "compare", "fetch", "chunks"]) {
    assert.equal((await old.refused({ id: id(), action })).code, "unknown_action", action);
  }
});
