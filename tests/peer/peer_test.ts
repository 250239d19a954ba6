import assert from "node:assert/strict";
import { eventually, within } from "../helpers/eventually.ts";
import { assertFile, assertGone, assertMirrored, exists, filesWithContent, put } from "../helpers/tree.ts";
import { assertAtRest, copiesIn } from "../receive/support.ts";
import { type Home, Pair } from "./pair.ts";

async function fill(home: Home, mark: string): Promise<void> {
  for (const path of ["a.txt", "d/b.txt", "d/e/c.txt", "name with spaces", "é/ü.txt"]) {
    await put(`${home.watched}/${path}`, `${mark} ${path}`);
  }
  await Deno.mkdir(`${home.watched}/empty`);
  await put(`${home.watched}/big`, mark.repeat(200_000));
  await put(`${home.watched}/run.sh`, "#!/bin/sh\n");
  await Deno.chmod(`${home.watched}/run.sh`, 0o755);
}

Deno.test("peers: both ways over one link, what was there before and what changes", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(anna, "anna");
  await fill(bert, "bert");
  await pair.start();
  await pair.mirrored();
  await put(`${anna.watched}/d/new.txt`, "new");
  await Deno.remove(`${bert.watched}/d`, { recursive: true });
  await Deno.rename(`${anna.watched}/a.txt`, `${anna.watched}/moved.txt`);
  await Deno.remove(`${anna.watched}/run.sh`);
  await put(`${anna.watched}/run.sh/is-a-folder-now`, "x");
  await assertFile(`${bert.synced}/moved.txt`, "anna a.txt");
  await assertGone(`${bert.synced}/a.txt`);
  await pair.mirrored();
  await assertAtRest(bert.synced);
  for (const home of [anna, bert]) {
    await eventually("in sync", () => assert.equal(home.running!.status().peers[0]?.inSync, true));
    home.assertQuiet();
  }
});

for (const which of ["anna", "bert", "both"] as const) {
  Deno.test(`peers: a restart with a lost database (${which}) costs no file and no conflict copy`, async () => {
    await using pair = await Pair.make();
    const { anna, bert } = pair;
    await fill(anna, "anna");
    await fill(bert, "bert");
    await pair.start();
    await pair.mirrored();
    await pair.stop();
    if (which !== "bert") await anna.loseDatabase();
    if (which !== "anna") await bert.loseDatabase();
    await pair.start();
    await put(`${anna.watched}/after`, "after");
    await put(`${bert.watched}/after`, "after");
    await pair.mirrored();
    await Deno.remove(`${anna.watched}/d`, { recursive: true });
    await Deno.remove(`${bert.watched}/big`);
    await pair.mirrored();
    assert.deepEqual([...await copiesIn(anna.synced), ...await copiesIn(bert.synced)], []);
  });
}

Deno.test("peers: more small content than the credit window holds arrives", async () => {
  await using pair = await Pair.make();
  const { anna } = pair;
  await Deno.mkdir(`${anna.watched}/many`);
  const content = "x".repeat(64 * 1024);
  for (let i = 0; i < 300; i++) await Deno.writeTextFile(`${anna.watched}/many/${i}`, content + i);
  await pair.start();
  await pair.mirrored();
  anna.assertQuiet();
});

Deno.test("peers: what changes while one is away is made up for, hand edits are kept", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(anna, "anna");
  await pair.start();
  await pair.mirrored();
  await bert.stop();
  await put(`${anna.watched}/a.txt`, "changed while Bert was away");
  await Deno.remove(`${anna.watched}/big`);
  await Deno.writeTextFile(`${bert.synced}/d/b.txt`, "edited by hand");
  await Deno.remove(`${bert.synced}/empty`);
  await eventually("pending", () => {
    const pending = anna.command((store) => store.pending.list(store.peers.byName("bert")!.number));
    assert.deepEqual(pending.map(({ path }) => path), ["a.txt", "big"]);
  });
  await bert.start();
  anna.trust(bert, bert.address);
  await assertFile(`${bert.synced}/a.txt`, "changed while Bert was away");
  await assertFile(`${bert.synced}/d/b.txt`, "anna d/b.txt");
  await assertGone(`${bert.synced}/big`);
  await eventually("the folder is back", async () => {
    assert.equal((await Deno.stat(`${bert.synced}/empty`)).isDirectory, true);
  });
  assert.equal((await filesWithContent(bert.synced, "edited by hand")).length, 1);
});

Deno.test("peers: `once` ends when both sides have nothing left", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(anna, "anna");
  await fill(bert, "bert");
  bert.trust(anna);
  await bert.start();
  anna.trust(bert, bert.address);
  const { finished } = await anna.start({ once: true });
  assert.deepEqual(await within("once", 15_000, finished), { reached: true, left: 0, problem: null });
  await pair.mirrored();
});

Deno.test("peers: `once` on both sides ends on both", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(anna, "anna");
  bert.trust(anna);
  const bertDone = (await bert.start({ once: true })).finished;
  anna.trust(bert, bert.address);
  const annaDone = (await anna.start({ once: true })).finished;
  assert.deepEqual(await within("Anna's once", 15_000, annaDone), { reached: true, left: 0, problem: null });
  await anna.stop();
  assert.deepEqual(await within("Bert's once", 15_000, bertDone), { reached: true, left: 0, problem: null });
  await assertMirrored(anna.watched, bert.synced);
});

Deno.test("peers: `once` tells what was refused", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await put(`${anna.watched}/link/in`, "x");
  await put(`${anna.watched}/fine`, "x");
  await Deno.mkdir(`${bert.folder}/outside`);
  await Deno.symlink(`${bert.folder}/outside`, `${bert.synced}/link`);
  bert.trust(anna);
  await bert.start();
  anna.trust(bert, bert.address);
  const { finished } = await anna.start({ once: true });
  const result = await within("once", 15_000, finished);
  assert.equal(result.reached, true);
  await assertFile(`${bert.synced}/fine`, "x");
  const pending = anna.command((store) => store.pending.list(1));
  assert.equal(result.left, pending.length);
  for (const { path, state, code } of pending) {
    assert.deepEqual([path.startsWith("link"), state, code], [true, "refused", "symlink_in_path"]);
  }
});

Deno.test("peers: a peer that is added while both run is linked within a second or so", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await put(`${anna.watched}/a`, "a");
  await anna.start();
  await bert.start();
  bert.trust(anna);
  anna.trust(bert, bert.address);
  // Half a second to notice on either side; a first dial that Bert does not know yet costs a pause.
  await assertFile(`${bert.synced}/a`, "a", { deadlineMs: 2500 });
});

Deno.test("peers: a peer that is removed while both run is unlinked within a second", async () => {
  await using pair = await Pair.running();
  const { anna, bert } = pair;
  await put(`${anna.watched}/a`, "a");
  await pair.mirrored();
  anna.command((store) => store.peers.remove("bert"));
  await eventually("unlinked", () => {
    assert.deepEqual(anna.running!.status().peers, []);
    assert.equal(bert.running!.status().peers[0]?.link, "down");
  }, { deadlineMs: 1500 });
  await put(`${anna.watched}/b`, "b");
  // Added again, everything goes on where it was.
  anna.trust(bert, bert.address);
  await assertFile(`${bert.synced}/b`, "b", { deadlineMs: 5000 });
  await pair.mirrored();
  anna.assertQuiet();
  bert.assertQuiet();
});

Deno.test("peers: a peer that is removed while files are on their way to it does not end the run", async () => {
  await using pair = await Pair.running();
  const { anna, bert } = pair;
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  let held = 0;
  bert.before = async ({ method }) => {
    if (method !== "flush") return;
    held++;
    await gate;
  };
  for (let i = 0; i < 20; i++) await put(`${anna.watched}/many/${i}`, `${i}`);
  await eventually("some are on their way", () => assert.ok(held > 0), { everyMs: 2 });
  anna.command((store) => store.peers.remove("bert"));
  open();
  await eventually("unlinked", () => assert.deepEqual(anna.running!.status().peers, []), {
    deadlineMs: 3000,
  });
  anna.assertQuiet();
  anna.trust(bert, bert.address);
  await pair.mirrored();
});

Deno.test("peers: a change in the moment after a peer was removed is not lost for another one", async () => {
  await using pair = await Pair.running();
  const { anna, bert } = pair;
  // A peer that is away.
  const { certificatePem } = bert.identity;
  const extra = { name: "carl", fingerprint: "c".repeat(64), certificatePem, address: null, addedMs: 0 };
  anna.command((store) => store.peers.add(extra));
  await eventually("added", () => assert.equal(anna.running!.status().peers.length, 2), { deadlineMs: 2000 });
  await put(`${anna.watched}/before`, "x");
  await pair.mirrored();
  anna.command((store) => store.peers.remove("carl"));
  await put(`${anna.watched}/after`, "x");
  await assertFile(`${bert.synced}/after`, "x", { deadlineMs: 3000 });
  const problems = anna.events.filter(({ kind }) => kind === "problem").map(({ message }) => message);
  assert.deepEqual(problems, []);
});

Deno.test("peers: a log that grows all the time arrives in versions", async () => {
  await using pair = await Pair.running();
  const { anna, bert } = pair;
  const path = `${anna.watched}/grows.log`;
  let text = "";
  const timer = setInterval(() => {
    text += "one more line\n";
    Deno.writeTextFileSync(path, "one more line\n", { append: true });
  }, 2);
  try {
    await eventually("a version came while it grows", async () => {
      const came = await Deno.readTextFile(`${bert.synced}/grows.log`);
      assert.ok(came.length > 0 && text.startsWith(came));
    }, { deadlineMs: 10_000 });
  } finally {
    clearInterval(timer);
  }
  await pair.mirrored();
});

/** A large file of which Anna has sent a part: Bert's disk has taken so many writes of it, and takes no more until it is let go. */
async function halfWay(pair: Pair, path: string, sizeBytes: number): Promise<() => void> {
  let letGo = () => {};
  const gate = new Promise<void>((resolve) => letGo = resolve);
  let writes = 0;
  pair.bert.before = ({ method }) => method === "write" && ++writes > 60 ? gate : undefined;
  const block = crypto.getRandomValues(new Uint8Array(65_536));
  const content = new Uint8Array(sizeBytes).map((_, i) => block[i % block.length]! ^ (i >> 16));
  // Moved in as a whole, so that it is not taken up while it is written.
  await put(`${pair.anna.folder}/made/${path}`, content);
  const [top] = path.split("/");
  await Deno.rename(`${pair.anna.folder}/made/${top}`, `${pair.anna.watched}/${top}`);
  await eventually("it is half-way", () => assert.ok(writes > 60));
  return letGo;
}

/** Bytes that Anna has sent on all her links. */
const sentBytes = ({ anna }: Pair) => anna.running!.status().total.sentBytes;

const SIZE = 24_000_000;

Deno.test("peers: a large file that is removed while it travels leaves nothing in the other's staging folder", async () => {
  await using pair = await Pair.running();
  const letGo = await halfWay(pair, "big", SIZE);
  await Deno.remove(`${pair.anna.watched}/big`);
  await eventually("Anna has seen it", () => {
    assert.deepEqual(pair.anna.command((store) => store.pending.list(1)), []);
  });
  letGo();
  await eventually("in sync", () => assert.equal(pair.anna.running!.status().peers[0]?.inSync, true));
  await eventually("nothing is left", () => assertAtRest(pair.bert.synced));
  assert.ok(sentBytes(pair) < SIZE - 1_000_000, `${sentBytes(pair)} bytes were sent`);
});

Deno.test("peers: a peer that is removed while its large file travels is cut off, and nothing of the file stays", async () => {
  await using pair = await Pair.running();
  const letGo = await halfWay(pair, "big", SIZE);
  pair.bert.command((store) => store.peers.remove("anna"));
  letGo();
  await eventually("she is cut off", () => {
    assert.notEqual(pair.anna.running!.status().peers[0]?.link, "up");
  });
  await eventually("nothing is left", () => assertAtRest(pair.bert.synced));
  assert.equal(await exists(`${pair.bert.synced}/big`), false);
  await eventually("she has dialled again, in vain", () => {
    assert.match(pair.anna.events.at(-1)?.message ?? "", /trusts no peer/);
  });
  assert.deepEqual(await Array.fromAsync(Deno.readDir(pair.bert.synced)), []);
  pair.bert.assertQuiet();
});

Deno.test("peers: a large file that is renamed while it travels, or its folder, goes on where it was", async () => {
  for (const to of ["d/other", "e/big"]) {
    await using pair = await Pair.running();
    const letGo = await halfWay(pair, "d/big", SIZE);
    const [from, at] = to === "e/big" ? ["d", "e"] : ["d/big", to];
    await Deno.rename(`${pair.anna.watched}/${from}`, `${pair.anna.watched}/${at}`);
    await eventually("Anna has seen it", () => {
      const paths = pair.anna.command((store) => store.pending.list(1).map(({ path }) => path as string));
      assert.ok(paths.includes(to), `${paths}`);
    });
    letGo();
    await pair.mirrored();
    await eventually("in sync", () => assert.equal(pair.anna.running!.status().peers[0]?.inSync, true));
    await eventually("nothing is left", () => assertAtRest(pair.bert.synced));
    const twice = sentBytes(pair) - SIZE;
    assert.ok(twice < 8 * 1024 * 1024, `${twice} bytes were sent twice`);
    pair.anna.assertQuiet();
    pair.bert.assertQuiet();
  }
});

Deno.test("peers: what was begun before a restart, and is gone since, is freed", async () => {
  await using pair = await Pair.running();
  const letGo = await halfWay(pair, "big", SIZE);
  const stopped = pair.anna.stop();
  letGo();
  await stopped;
  await eventually("a beginning is kept", () => {
    assert.equal(pair.bert.command((store) => store.partials.list()).length, 1);
  });
  await Deno.remove(`${pair.anna.watched}/big`);
  await pair.anna.start();
  await eventually("nothing is left", () => assertAtRest(pair.bert.synced));
});
