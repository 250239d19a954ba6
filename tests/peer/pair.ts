import assert from "node:assert/strict";
import type { PeerEvent } from "../../src/domain/events.ts";
import { HOME_TRASH } from "../../src/domain/relative_path.ts";
import { ensureIdentity, type Identity } from "../../src/identity/identity.ts";
import { IdentityKeeper } from "../../src/identity/identity_keeper.ts";
import { TlsNetwork } from "../../src/link/tls_network.ts";
import { type RunningPeer, startPeer } from "../../src/peer/peer.ts";
import { DEFAULT_SETTINGS, type Settings } from "../../src/peer/settings.ts";
import { Store } from "../../src/store/store.ts";
import { DiskTree } from "../../src/system/disk_tree.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { SystemRandom } from "../../src/system/system_random.ts";
import { within } from "../helpers/eventually.ts";
import { assertMirrored } from "../helpers/tree.ts";
import { type Call, HookedTree, tempFolder } from "../receive/support.ts";

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
export class Home {
  readonly events: PeerEvent[] = [];
  readonly clock = new CatchingClock();
  running: RunningPeer | null = null;
  /** For the next start. */
  settings: Settings = DEFAULT_SETTINGS;
  /** Called before each call on `synced/`. */
  before: (call: Call) => void | Promise<void> = () => {};
  /** Of the latest start. */
  keeper: IdentityKeeper | null = null;
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

  get trash(): string {
    return `${this.folder}/trash`;
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
    const synced = new HookedTree(new DiskTree(this.synced, { path: HOME_TRASH, at: this.trash }));
    synced.before = (call) => this.before(call);
    const keeper = this.keeper = await IdentityKeeper.open(this.folder);
    this.running = await startPeer({
      name: this.identity.name,
      keeper,
      pid: 1,
      system: "unix",
      store,
      watched: new DiskTree(this.watched),
      synced,
      network: new TlsNetwork({
        identity: () => keeper.current,
        trusted: () => store.peers.pinned(),
        clock: this.clock,
      }),
      clock: this.clock,
      random: new SystemRandom(),
      settings: this.settings,
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
export class Pair implements AsyncDisposable {
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
