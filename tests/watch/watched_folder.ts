import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { dirname } from "node:path";
import type { PeerEvent } from "../../src/domain/events.ts";
import { type FileStat, isProvisional, type Observation } from "../../src/domain/observation.ts";
import {
  type Clock,
  FileError,
  type FileTree,
  type FolderEntry,
  type ReadHandle,
  type TreeWatcher,
} from "../../src/domain/ports.ts";
import { joinPath, type RelativePath } from "../../src/domain/relative_path.ts";
import { Store } from "../../src/store/store.ts";
import { DiskTree } from "../../src/system/disk_tree.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { Observer } from "../../src/watch/observer.ts";
import type { Change } from "../../src/watch/sighting.ts";
import { eventually } from "../helpers/eventually.ts";

/** A folder of the disk with faults on demand: what permissions and mounts do to others, and cannot do to root. */
export class FaultyTree extends DiskTree implements FileTree {
  /** Paths that cannot be looked at, listed or read, with the operation. */
  readonly denied = new Set<string>();
  /** Folders that are on another device, with everything below: their device numbers. */
  readonly devices = new Map<string, number>();
  /** What `watch` throws, if anything. */
  watchError: FileError | null = null;
  /** Called before a listing is handed out. */
  onListed: (path: string) => void | Promise<void> = () => {};

  #deny(operation: string, path: string): void {
    if (this.denied.has(`${operation} ${path}`)) {
      throw new FileError("denied", `no permission to ${operation} ${path}`);
    }
  }

  #mapped(path: string, stat: FileStat): FileStat {
    let best: number | null = null, length = -1;
    for (const [folder, device] of this.devices) {
      if ((folder === "" || path === folder || path.startsWith(`${folder}/`)) && folder.length > length) {
        [best, length] = [device, folder.length];
      }
    }
    return best === null ? stat : { ...stat, device: best };
  }

  override async lstat(path: string): Promise<FileStat | null> {
    this.#deny("look at", path);
    const stat = await super.lstat(path);
    return stat && this.#mapped(path, stat);
  }

  override async list(path: string): Promise<FolderEntry[]> {
    this.#deny("list", path);
    const entries = (await super.list(path)).map((entry): FolderEntry => {
      const at = joinPath(path, entry.name);
      if (this.denied.has(`look at ${at}`)) {
        return {
          name: entry.name,
          stat: null,
          error: new FileError("denied", `no permission to look at ${at}`),
        };
      }
      return { ...entry, stat: entry.stat && this.#mapped(at, entry.stat) };
    });
    await this.onListed(path);
    return entries;
  }

  override async openRead(path: string): Promise<ReadHandle> {
    this.#deny("read", path);
    const handle = await super.openRead(path);
    return {
      opened: this.#mapped(path, handle.opened),
      stat: async () => this.#mapped(path, await handle.stat()),
      readAt: (into, offset) => handle.readAt(into, offset),
      close: () => handle.close(),
    };
  }

  override async readSmall(
    path: string,
    sizeBytes: number,
  ): Promise<{ content: Uint8Array; stat: FileStat }> {
    this.#deny("read", path);
    const { content, stat } = await super.readSmall(path, sizeBytes);
    return { content, stat: this.#mapped(path, stat) };
  }

  override watch(): TreeWatcher {
    if (this.watchError !== null) throw this.watchError;
    return super.watch();
  }
}

/** The computer's clock, whose wall time can be moved. */
export class MovableClock extends SystemClock implements Clock {
  aheadMs = 0;

  override now(): number {
    return super.now() + this.aheadMs;
  }
}

/** A watched folder on the disk, with an observer and everything that it told. */
export class WatchedFolder implements AsyncDisposable {
  readonly changes: Change[] = [];
  readonly events: PeerEvent[] = [];
  readonly store: Store = new Store(":memory:");
  readonly clock: MovableClock = new MovableClock();
  observer: Observer;

  private constructor(readonly root: string, readonly tree: FaultyTree, readonly outside: string) {
    this.observer = this.#observer();
  }

  #observer(): Observer {
    return new Observer({
      tree: this.tree,
      store: this.store,
      clock: this.clock,
      // Far away: what these tests see is not found by chance.
      scanIntervalMs: 3_600_000,
      onChanges: (changes) => {
        assert(changes.length > 0);
        for (const { path, after } of changes) {
          assert.deepEqual(
            this.store.observed.get(path),
            after,
            "the rows are there when the changes are told",
          );
        }
        this.changes.push(...changes);
      },
      onEvent: (event) => this.events.push(event),
    });
  }

  static async create(): Promise<WatchedFolder> {
    const base = await Deno.realPath(await Deno.makeTempDir({ prefix: "mirrorsync watch " }));
    await Deno.mkdir(`${base}/watched`);
    await Deno.mkdir(`${base}/outside`);
    return new WatchedFolder(`${base}/watched`, new FaultyTree(`${base}/watched`), `${base}/outside`);
  }

  /** Ends the observer and makes another one on the same database, as a restart does. */
  async restart(between: () => void | Promise<void> = () => {}): Promise<void> {
    await this.observer.stop();
    await between();
    this.changes.length = 0;
    this.events.length = 0;
    this.observer = this.#observer();
    await this.observer.start();
  }

  at(path: string): string {
    return `${this.root}/${path}`;
  }

  /** Writes a file that looks as if nobody had touched it for a long time, so that a scan takes it at once. */
  old(path: string, text = path, mtimeMs = 1_600_000_000_000): void {
    Deno.mkdirSync(dirname(this.at(path)), { recursive: true });
    Deno.writeTextFileSync(this.at(path), text);
    Deno.utimeSync(this.at(path), new Date(mtimeMs), new Date(mtimeMs));
  }

  row(path: string): Observation | null {
    return this.store.observed.get(path as RelativePath);
  }

  /** All paths that are observed; those that are held with the reason after them. */
  paths(): string[] {
    return this.store.observed.below("").map(({ path, held }) => held === null ? path : `${path} (${held})`);
  }

  skips(): string[] {
    return this.store.skipped.list().map(({ path, reason }) => `${path}: ${reason}`);
  }

  /** The log's notes, oldest first. */
  notes(): string[] {
    return this.store.log.newest(1000, null).reverse().map(({ action, path, code }) =>
      `${action} ${path}: ${code}`
    );
  }

  /** Nothing was told since the start. */
  toldNothing(): void {
    assert.equal(this.changes.map((change) => change.path).join(), "");
  }

  /** Waits for the observer to have exactly these paths. */
  async has(...paths: string[]): Promise<void> {
    await eventually("the observer sees the folder as it is", () => {
      assert.deepEqual(this.paths(), [...paths].sort());
      assert(this.observer.idle());
    }, { deadlineMs: 8000, everyMs: 5 });
  }

  /** Does what the sender does with a file whose content it read. */
  hash(path: string, content = Deno.readFileSync(this.at(path))): void {
    const row = this.row(path);
    assert(row !== null);
    const hash = createHash("sha256").update(content).digest("hex");
    this.store.observed.setHash(row.path, hash, isProvisional(row, this.clock.now()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.observer.stop();
    this.store[Symbol.dispose]();
    await Deno.remove(dirname(this.root), { recursive: true });
  }
}
