import assert from "node:assert/strict";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import {
  type Clock,
  type Connection,
  FileError,
  type FileErrorCode,
  type FileTree,
  type Network,
  type Random,
  type WatchEvent,
} from "../../src/domain/ports.ts";

// What the program relies on in its ports. The real ones and those of the simulator go through the same tests
// (ports_contract_test.ts): what the simulator proves is worth as much as they behave alike.

/** Lets time pass for a port, a moment at least: real time, or the simulator's. */
export type Pass = () => Promise<void>;

export interface TreeUnderTest {
  readonly tree: FileTree;
  readonly pass: Pass;
}

export interface ClockUnderTest {
  readonly clock: Clock;
  readonly pass: Pass;
}

/** Two ends of a network; `here` dials `there`. */
export interface NetworkUnderTest {
  readonly here: Network;
  readonly there: Network;
  readonly hereFingerprint: string;
  readonly thereFingerprint: string;
  readonly listenAt: { readonly host: string; readonly port: number };
  readonly pass: Pass;
}

const text = (value: string) => new TextEncoder().encode(value);

function refuses(code: FileErrorCode): (error: unknown) => true {
  return (error) => {
    assert(error instanceof FileError, `not a FileError: ${error}`);
    assert.equal(error.code, code, error.message);
    return true;
  };
}

async function put(tree: FileTree, path: string, content: string): Promise<void> {
  const handle = await tree.create(path);
  await handle.write(text(content));
  handle.close();
}

async function contentOf(tree: FileTree, path: string): Promise<string> {
  return new TextDecoder().decode((await tree.readSmall(path, 1000)).content);
}

export type Contract<T> = readonly (readonly [name: string, check: (port: T) => Promise<void>])[];

export const TREE_CONTRACT: Contract<TreeUnderTest> = [
  ["what is not there is null, also below a file", async ({ tree }) => {
    await put(tree, "f", "abc");
    assert.equal(await tree.lstat("nothing"), null);
    assert.equal(await tree.lstat("f/below"), null);
    assert.equal((await tree.lstat(""))?.kind, "folder");
    assert.equal((await tree.lstat("f"))?.sizeBytes, 3);
  }],
  ["a listing has each name once, with its stat", async ({ tree }) => {
    await put(tree, "f", "abc");
    await tree.mkdir("d");
    const entries = (await tree.list("")).map(({ name, stat }) => `${name} ${stat?.kind}`).sort();
    assert.deepEqual(entries, ["d folder", "f file"]);
    await assert.rejects(tree.list("none"), refuses("not_found"));
    await assert.rejects(tree.list("f"), refuses("not_folder"));
  }],
  ["a file is made once, written, read at any place and cut", async ({ tree }) => {
    const handle = await tree.create("new");
    await handle.write(text("head"));
    await handle.write(text(" and tail"));
    handle.cutTo(8);
    await handle.write(text("!"));
    handle.setTimes(1_234_567_890_123);
    handle.setExecutable(true);
    await handle.flush();
    const stat = await handle.stat();
    handle.close();
    assert.deepEqual(await tree.lstat("new"), stat);
    assert.deepEqual([stat.sizeBytes, stat.mtimeMs, stat.executable], [9, 1_234_567_890_123, true]);
    await assert.rejects(tree.create("new"), refuses("exists"));
    await assert.rejects(tree.create("no/where"), refuses("not_found"));
    await assert.rejects(tree.create("new/below"), refuses("not_folder"));
    const file = await tree.openRead("new");
    assert.deepEqual(file.opened, stat);
    const into = new Uint8Array(20);
    assert.equal(await file.readAt(into, 5), 4);
    assert.equal(new TextDecoder().decode(into.subarray(0, 4)), "and!");
    assert.equal(await file.readAt(into, 9), 0);
    file.close();
    await assert.rejects(file.stat(), refuses("io"));
    const again = await tree.reopen("new");
    await again.write(text("?"));
    again.close();
    assert.equal(await contentOf(tree, "new"), "head and!?");
  }],
  ["an open file is the one that was opened, whatever happens to its name", async ({ tree }) => {
    await put(tree, "a", "old");
    await put(tree, "b", "new");
    const file = await tree.openRead("a");
    await tree.rename("b", "a");
    const into = new Uint8Array(3);
    await file.readAt(into, 0);
    assert.equal(new TextDecoder().decode(into), "old");
    assert.notEqual((await file.stat()).inode, (await tree.lstat("a"))?.inode);
    file.close();
  }],
  ["reading refuses what is no file", async ({ tree }) => {
    await tree.mkdir("d");
    await assert.rejects(tree.openRead("d"), refuses("is_folder"));
    await assert.rejects(tree.readSmall("d", 4), refuses("is_folder"));
    await assert.rejects(tree.openRead("none"), refuses("not_found"));
    await assert.rejects(tree.reopen("none"), refuses("not_found"));
  }],
  ["a link is a second name of the same file", async ({ tree }) => {
    await put(tree, "a", "a");
    await tree.link("a", "b");
    assert.equal((await tree.lstat("a"))?.inode, (await tree.lstat("b"))?.inode);
    await assert.rejects(tree.link("a", "b"), refuses("exists"));
    await assert.rejects(tree.link("none", "c"), refuses("not_found"));
    await tree.mkdir("d");
    await assert.rejects(tree.link("d", "c"), refuses("is_folder"));
    // POSIX: a rename between two names of one file does nothing.
    await tree.rename("a", "b");
    assert.notEqual(await tree.lstat("a"), null);
    await tree.unlink("a");
    assert.equal(await contentOf(tree, "b"), "a");
  }],
  ["a file is replaced, and has another name from then on", async ({ tree }) => {
    await put(tree, "a", "old");
    await put(tree, "b", "new");
    await tree.replace("b", "a", "aside");
    assert.equal(await contentOf(tree, "a"), "new");
    assert.equal(await contentOf(tree, "aside"), "old");
    assert.equal(await tree.lstat("b"), null);
    await put(tree, "b", "newer");
    await assert.rejects(tree.replace("b", "a", "aside"), refuses("exists"));
    await assert.rejects(tree.replace("b", "none", "other"), refuses("not_found"));
    await assert.rejects(tree.replace("none", "a", "second"), refuses("not_found"));
    assert.equal(await contentOf(tree, "a"), "new");
    assert.equal(await contentOf(tree, "second"), "new", "what was linked stays");
    await tree.mkdir("d");
    await assert.rejects(tree.replace("b", "d", "third"), refuses("is_folder"));
  }],
  ["a rename replaces a file, and an empty folder by a folder, and nothing else", async ({ tree }) => {
    await put(tree, "a", "a");
    await put(tree, "b", "b");
    const { inode } = (await tree.lstat("a"))!;
    await tree.rename("a", "b");
    assert.deepEqual([await tree.lstat("a"), (await tree.lstat("b"))?.inode], [null, inode]);
    await tree.mkdir("d");
    await assert.rejects(tree.rename("b", "d"), refuses("is_folder"));
    await assert.rejects(tree.rename("d", "b"), refuses("not_folder"));
    await assert.rejects(tree.rename("none", "c"), refuses("not_found"));
    await tree.mkdir("full");
    await put(tree, "full/x", "x");
    await assert.rejects(tree.rename("d", "full"), refuses("not_empty"));
    await tree.rename("full", "d");
    assert.equal(await contentOf(tree, "d/x"), "x");
    await tree.mkdir("d/below");
    await assert.rejects(tree.rename("d", "d/below/d"), refuses("io"));
  }],
  ["unlink takes files, rmdir empty folders, mkdir what is free", async ({ tree }) => {
    await put(tree, "f", "f");
    await tree.mkdir("d");
    await put(tree, "d/x", "x");
    await assert.rejects(tree.mkdir("d"), refuses("exists"));
    await assert.rejects(tree.mkdir("f"), refuses("exists"));
    await assert.rejects(tree.mkdir("no/where"), refuses("not_found"));
    await assert.rejects(tree.mkdir("f/below"), refuses("not_folder"));
    await assert.rejects(tree.unlink("d"), refuses("is_folder"));
    await assert.rejects(tree.rmdir("f"), refuses("not_folder"));
    await assert.rejects(tree.rmdir("d"), refuses("not_empty"));
    await tree.unlink("d/x");
    await tree.rmdir("d");
    await assert.rejects(tree.rmdir("d"), refuses("not_found"));
    await tree.unlink("f");
    await assert.rejects(tree.unlink("f"), refuses("not_found"));
  }],
  ["times and modes by path, and what may be flushed", async ({ tree }) => {
    await put(tree, "f", "f");
    await put(tree, "g", "g");
    await tree.setTimes("f", 1_000_000_000_123);
    await tree.setExecutable("f", true);
    await tree.copyMode("f", "g");
    assert.equal((await tree.lstat("f"))?.mtimeMs, 1_000_000_000_123);
    assert.equal((await tree.lstat("g"))?.executable, true);
    await assert.rejects(tree.setTimes("none", 0), refuses("not_found"));
    await tree.flushFile("f");
    await tree.flushFolder("");
    await assert.rejects(tree.flushFile("none"), refuses("not_found"));
    await assert.rejects(tree.flushFolder("none"), refuses("not_found"));
    await assert.rejects(tree.flushFolder("f"), refuses("not_folder"));
    await assert.rejects(tree.create("n".repeat(300)), refuses("name_too_long"));
    assert(((await tree.freeBytes()) ?? 1) > 0);
  }],
  ["a watcher tells what happened, and ends when it is closed", async ({ tree, pass }) => {
    await tree.mkdir("d");
    const watcher = tree.watch();
    const seen: WatchEvent[] = [];
    const ended = (async () => {
      for await (const event of watcher) seen.push(event);
    })();
    const saw = async (kind: WatchEvent["kind"], path: string) => {
      for (let i = 0; i < 300; i++) {
        if (seen.some((event) => event.kind === kind && event.paths.includes(path))) return;
        await pass();
      }
      assert.fail(`no ${kind} of ${path} in ${JSON.stringify(seen)}`);
    };
    await put(tree, "d/f", "f");
    await saw("created", "d/f");
    await saw("closed", "d/f");
    await tree.rename("d/f", "g");
    await saw("removed", "d/f");
    await saw("renamed", "g");
    await tree.setExecutable("g", true);
    await saw("modified", "g");
    await tree.unlink("g");
    await saw("removed", "g");
    watcher.close();
    await Promise.all([ended, pass()]);
  }],
];

export const CLOCK_CONTRACT: Contract<ClockUnderTest> = [
  [
    "time goes on, callbacks come in their order and once, and a cancelled one never",
    async ({ clock, pass }) => {
      const before = clock.monotonic();
      assert(Number.isInteger(clock.now()));
      const called: string[] = [];
      clock.after(20, () => called.push("later"));
      clock.after(0, () => called.push("soon"));
      const cancel = clock.after(1, () => called.push("cancelled"));
      cancel();
      cancel();
      assert.deepEqual(called, [], "nothing is called before the caller has gone on");
      for (let i = 0; i < 1000 && called.length < 2; i++) await pass();
      assert.deepEqual(called, ["soon", "later"]);
      assert(clock.monotonic() - before >= 20);
    },
  ],
];

export const RANDOM_CONTRACT: Contract<Random> = [
  ["uuids look like ones and differ; units are in [0, 1)", (random) => {
    const uuids = Array.from({ length: 100 }, () => random.uuid());
    assert.equal(new Set(uuids).size, 100);
    for (const uuid of uuids) assert.match(uuid, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    for (let i = 0; i < 100; i++) assert(random.unit() >= 0 && random.unit() < 1);
    return Promise.resolve();
  }],
];

export const NETWORK_CONTRACT: Contract<NetworkUnderTest> = [
  ["bytes arrive in their order, both ways; each direction ends by itself", async (network) => {
    const [dialled, accepted] = await connect(network);
    assert.equal(dialled.dialled, true);
    assert.equal(accepted.dialled, false);
    assert.equal(dialled.peerFingerprint, network.thereFingerprint);
    assert.equal(accepted.peerFingerprint, network.hereFingerprint);
    const sent = Uint8Array.from({ length: 100_000 }, (_, i) => i * 7);
    const [, , there, back] = await during(
      network.pass,
      Promise.all([
        dialled.write(sent),
        accepted.write(text("hello")),
        take(accepted, sent.length),
        take(dialled, 5),
      ]),
    );
    assert.deepEqual(there, sent);
    assert.deepEqual(back, text("hello"));
    await during(network.pass, dialled.closeWrite());
    assert.equal(await during(network.pass, accepted.read()), null);
    await during(network.pass, accepted.write(text("still")));
    assert.deepEqual(await during(network.pass, take(dialled, 5)), text("still"));
    dialled.close();
    accepted.close();
    dialled.close();
  }],
  ["what the other side closes ends, or breaks, but never goes on", async (network) => {
    const [dialled, accepted] = await connect(network);
    accepted.close();
    const end = await during(network.pass, dialled.read().catch((error) => error));
    assert(end === null || end instanceof MirrorError, String(end));
    await assert.rejects(during(network.pass, accepted.write(text("x"))), MirrorError);
    dialled.close();
  }],
  ["where nobody listens nobody is reached; another peer than expected is refused", async (network) => {
    const { here, there, listenAt, pass } = network;
    const signal = new AbortController().signal;
    const listener = await during(pass, there.listen(listenAt, (connection) => connection.close()));
    await assert.rejects(
      during(pass, here.dial(listener.address, "f".repeat(64), signal)),
      (error: unknown) => error instanceof MirrorError && error.code === "not_trusted",
    );
    listener.close();
    await assert.rejects(
      during(pass, here.dial(listener.address, network.thereFingerprint, signal)),
      (error: unknown) => error instanceof MirrorError && error.code === "unreachable",
    );
  }],
];

async function connect(
  { here, there, thereFingerprint, listenAt, pass }: NetworkUnderTest,
): Promise<[dialled: Connection, accepted: Connection]> {
  const accepted = Promise.withResolvers<Connection>();
  const listener = await during(pass, there.listen(listenAt, accepted.resolve));
  const dialled = await during(
    pass,
    here.dial(listener.address, thereFingerprint, new AbortController().signal),
  );
  const other = await during(pass, accepted.promise);
  listener.close();
  return [dialled, other];
}

async function take(connection: Connection, count: number): Promise<Uint8Array> {
  const taken = new Uint8Array(count);
  for (let filled = 0; filled < count;) {
    const bytes = await connection.read();
    assert(bytes !== null, "the stream ended too early");
    taken.set(bytes, filled);
    filled += bytes.length;
  }
  return taken;
}

/** Lets time pass until something has come to its end. */
async function during<T>(pass: Pass, work: Promise<T>): Promise<T> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  work.then(over, over);
  while (!isOver) await pass();
  return await work;
}
