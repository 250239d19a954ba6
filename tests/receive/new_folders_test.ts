import assert from "node:assert/strict";
import { FileError } from "../../src/domain/ports.ts";
import { operation } from "../helpers/plain_client.ts";
import { put } from "../helpers/tree.ts";
import { folder, ReceiveBench } from "./bench.ts";
import { type Call, copiesIn, type FarEnd, namesIn } from "./support.ts";

const NAMES = Array.from({ length: 10 }, (_, i) => `d/f${i}`);

/** The room on the disk is asked for with the first content: after that what comes together is committed together. */
async function warmUp(far: FarEnd): Promise<void> {
  await far.accepted(operation("create", "first", "first"), "first");
  await far.accepted(operation("delete", "first"));
}

/** Sends a folder with ten files together; gives the code of each reply, "ok" or why not. */
async function sendFolder(bench: ReceiveBench, names: readonly string[] = NAMES): Promise<string[]> {
  const far = bench.link();
  await warmUp(far);
  const replies = await Promise.all([
    far.request(folder("create", "d")),
    ...names.map((name) => far.request(operation("create", name, name), name)),
  ]);
  return replies.map(({ header }) => header.status === "ok" ? "ok" : String(header.code));
}

const ok = (count: number) => Array.from({ length: count }, () => "ok");
const isStaged = (value: unknown) => typeof value === "string" && value.includes("/new-");
const placesFolder = ({ method, args }: Call) => method === "rename" && isStaged(args[0]) && args[1] === "d";

Deno.test("new folder: it appears with its files as a whole, and all have their rows", async () => {
  await using bench = await ReceiveBench.open();
  const calls: Call[] = [];
  bench.tree.before = (call) => void calls.push(call);
  const made = (method: Call["method"]) =>
    calls.filter((call) =>
      call.method === method && !call.args.includes("first") && String(call.args).includes("/f")
    );
  assert.deepEqual(await sendFolder(bench), ok(11));
  assert.equal(calls.filter(placesFolder).length, 1);
  assert.equal(made("create").length, NAMES.length);
  assert.equal(made("link").length, 0, "no file was put in place by itself");
  assert.deepEqual(await namesIn(bench.synced), ["d", ...NAMES]);
  for (const name of NAMES) assert.equal(await Deno.readTextFile(`${bench.synced}/${name}`), name);
  await bench.receiver.inspect(bench.anna);
  assert.deepEqual(await copiesIn(bench.synced), [], "the marks are right");
  calls.length = 0;
  assert.deepEqual(await sendFolder(bench), ok(11));
  assert.equal(made("create").length, 0, "what came twice is done already");
  await bench.rest();
});

Deno.test("new folder: one that appears meanwhile keeps what is in it", async () => {
  await using bench = await ReceiveBench.open();
  bench.tree.before = async (call) => {
    if (placesFolder(call)) await put(`${bench.synced}/d/mine`, "made by hand");
  };
  assert.deepEqual(await sendFolder(bench), ok(11));
  assert.equal(await Deno.readTextFile(`${bench.synced}/d/mine`), "made by hand");
  assert.deepEqual(await namesIn(bench.synced), ["d", ...NAMES, "d/mine"]);
  await bench.rest();
});

Deno.test("new folder: a file that has its name is kept as a conflict copy", async () => {
  await using bench = await ReceiveBench.open();
  bench.tree.before = async (call) => {
    if (placesFolder(call)) await put(`${bench.synced}/d`, "a file");
  };
  assert.deepEqual(await sendFolder(bench), ok(11));
  const copies = await copiesIn(bench.synced);
  assert.equal(copies.length, 1);
  assert.equal(await Deno.readTextFile(`${bench.synced}/${copies[0]}`), "a file");
  for (const name of NAMES) assert.equal(await Deno.readTextFile(`${bench.synced}/${name}`), name);
  await bench.rest();
});

Deno.test("new folder: a file that cannot be staged is refused alone, and no half of it is seen", async () => {
  await using bench = await ReceiveBench.open();
  bench.tree.after = ({ method, args }) => {
    if (method === "create" && String(args[0]).endsWith("/f3")) throw new FileError("no_space", "no room");
  };
  const expected = ok(11);
  expected[4] = "no_space";
  assert.deepEqual(await sendFolder(bench), expected);
  assert.deepEqual(await namesIn(bench.synced), ["d", ...NAMES.filter((name) => name !== "d/f3")]);
});

Deno.test("new folder: through a symlink nothing is put in place", async () => {
  await using bench = await ReceiveBench.open();
  await Deno.mkdir(`${bench.folder}/outside`);
  await Deno.symlink(`${bench.folder}/outside`, `${bench.synced}/s`);
  const far = bench.link();
  await warmUp(far);
  const names = Array.from({ length: 10 }, (_, i) => `s/d/f${i}`);
  const replies = await Promise.all([
    far.request(folder("create", "s/d")),
    ...names.map((name) => far.request(operation("create", name, name), name)),
  ]);
  assert.deepEqual(new Set(replies.map(({ header }) => header.code)), new Set(["symlink_in_path"]));
  assert.deepEqual(await namesIn(`${bench.folder}/outside`), []);
  await bench.rest();
});
