import assert from "node:assert/strict";
import type { PeerEvent } from "../../src/domain/events.ts";
import { ensureIdentity, type Identity } from "../../src/identity/identity.ts";
import { TlsNetwork } from "../../src/link/tls_network.ts";
import { type RunningPeer, startPeer } from "../../src/peer/peer.ts";
import { DEFAULT_SETTINGS } from "../../src/peer/settings.ts";
import { Store } from "../../src/store/store.ts";
import { DiskTree } from "../../src/system/disk_tree.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { SystemRandom } from "../../src/system/system_random.ts";
import { eventually, within } from "../helpers/eventually.ts";
import { assertFile, assertGone, assertMirrored, filesWithContent, put } from "../helpers/tree.ts";
import { assertAtRest, type Call, copiesIn, HookedTree, tempFolder } from "../receive/support.ts";

/** A clock whose callbacks may throw without ending the test run: in the program that would end the process. */
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

/** A home with its two folders; it may be running. */
class Home {
  readonly events: PeerEvent[] = [];
  readonly clock = new CatchingClock();
  running: RunningPeer | null = null;
  /** Called before each call on `synced/`. */
  before: (call: Call) => void | Promise<void> = () => {};
  #store: Store | null = null;

  private constructor(readonly folder: string, readonly identity: Identity) {}

  static async make(root: string, name: string): Promise<Home> {
    const folder = `${root}/${name}`;
    const identity = await ensureIdentity(folder, name);
    await Deno.mkdir(`${folder}/watched`);
    await Deno.mkdir(`${folder}/synced`);
    return new Home(folder, identity);
  }

  get watched(): string {
    return `${this.folder}/watched`;
  }

  get synced(): string {
    return `${this.folder}/synced`;
  }

  get address(): string {
    return this.running!.status().listen!;
  }

  /** Another process on the same database, as the commands are. */
  command<T>(work: (store: Store) => T): T {
    using store = new Store(`${this.folder}/db.sqlite`);
    return work(store);
  }

  trust(other: Home, address: string | null = null): void {
    const { name, fingerprint, certificatePem } = other.identity;
    this.command((store) =>
      store.peers.add({ name, fingerprint, certificatePem, address, addedMs: Date.now() })
    );
  }

  async start(options: { readonly once?: boolean } = {}): Promise<RunningPeer> {
    const store = this.#store = new Store(`${this.folder}/db.sqlite`);
    const synced = new HookedTree(new DiskTree(this.synced));
    synced.before = (call) => this.before(call);
    this.running = await startPeer({
      name: this.identity.name,
      fingerprint: this.identity.fingerprint,
      pid: 1,
      system: "unix",
      store,
      watched: new DiskTree(this.watched),
      synced,
      network: new TlsNetwork({
        identity: this.identity,
        trusted: () => store.peers.list(),
        clock: this.clock,
      }),
      clock: this.clock,
      random: new SystemRandom(),
      settings: DEFAULT_SETTINGS,
      listen: { host: "127.0.0.1", port: 0 },
      dial: null,
      once: options.once ?? false,
      onEvent: (event) => this.events.push(event),
    });
    return this.running;
  }

  async stop(): Promise<void> {
    await within(`${this.identity.name} stops`, 5000, this.running?.stop() ?? Promise.resolve());
    this.running = null;
    this.#store?.[Symbol.dispose]();
    this.#store = null;
  }

  async loseDatabase(): Promise<void> {
    for (const end of ["", "-wal", "-shm"]) {
      await Deno.remove(`${this.folder}/db.sqlite${end}`).catch(() => {});
    }
  }

  assertQuiet(): void {
    assert.deepEqual(this.clock.thrown.map(String), [], "an uncaught error would have ended the process");
  }
}

/** Two homes that trust each other; Anna dials. */
class Pair implements AsyncDisposable {
  private constructor(readonly anna: Home, readonly bert: Home, readonly temp: AsyncDisposable) {}

  static async make(): Promise<Pair> {
    const temp = await tempFolder();
    const [anna, bert] = await Promise.all([Home.make(temp.path, "anna"), Home.make(temp.path, "bert")]);
    return new Pair(anna, bert, temp);
  }

  static async running(): Promise<Pair> {
    const pair = await Pair.make();
    await pair.start();
    return pair;
  }

  /** Starts both; Bert has a new port each time. */
  async start(): Promise<void> {
    this.bert.trust(this.anna);
    await this.bert.start();
    this.anna.trust(this.bert, this.bert.address);
    await this.anna.start();
  }

  async stop(): Promise<void> {
    await Promise.all([this.anna.stop(), this.bert.stop()]);
  }

  async mirrored(): Promise<void> {
    await assertMirrored(this.anna.watched, this.bert.synced, { deadlineMs: 10_000 });
    await assertMirrored(this.bert.watched, this.anna.synced, { deadlineMs: 10_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.temp[Symbol.asyncDispose]();
  }
}

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
  assert.deepEqual(await within("once", 15_000, finished), { reached: true, left: 0 });
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
  assert.deepEqual(await within("Anna's once", 15_000, annaDone), { reached: true, left: 0 });
  await anna.stop();
  assert.deepEqual(await within("Bert's once", 15_000, bertDone), { reached: true, left: 0 });
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
