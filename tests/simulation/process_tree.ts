import type { FileStat } from "../../src/domain/observation.ts";
import {
  FileError,
  type FileTree,
  type FolderEntry,
  type ReadHandle,
  type TreeWatcher,
  type WriteHandle,
} from "../../src/domain/ports.ts";
import { STAGING_FOLDER } from "../../src/domain/relative_path.ts";
import type { MemoryTree } from "./memory_tree.ts";
import { MemoryWatcher } from "./memory_watcher.ts";
import { DeadError, never, type Process } from "./process.ts";

/** A folder as one process sees it: calls take time, fail, and end with the process, before or after they took effect. */
export class ProcessTree implements FileTree {
  readonly #inner: MemoryTree;
  readonly #process: Process;

  constructor(inner: MemoryTree, process: Process) {
    this.#inner = inner;
    this.#process = process;
  }

  get root(): string {
    return this.#inner.root;
  }

  async #run<T>(method: string, path: string, work: () => Promise<T>): Promise<T> {
    const process = this.#process;
    if (process.reached()) return never();
    const delay = process.diskDelay(method === "flush");
    if (delay !== null) await delay;
    const fault = process.diskFault(method, path);
    if (fault !== null) throw fault;
    let result: T;
    try {
      result = await work();
    } catch (error) {
      if (process.isAlive) throw error;
      return never();
    }
    return process.reached() ? never() : result;
  }

  /** A call that answers at once. */
  #now(method: string, path: string, work: () => void): void {
    if (this.#process.reached()) throw new DeadError();
    const fault = this.#process.diskFault(method, path);
    if (fault !== null) throw fault;
    work();
  }

  lstat(path: string): Promise<FileStat | null> {
    return this.#run("look at", path, () => this.#inner.lstat(path));
  }

  list(path: string): Promise<FolderEntry[]> {
    return this.#run("list", path, () => this.#inner.list(path));
  }

  async openRead(path: string): Promise<ReadHandle> {
    const handle = await this.#run("read", path, () => this.#inner.openRead(path));
    return {
      opened: handle.opened,
      stat: () => this.#run("look at", path, () => handle.stat()),
      readAt: async (into, offset) => {
        const count = await this.#run("read", path, () => handle.readAt(into, offset));
        if (count === 0) this.#handled(path);
        return count;
      },
      close: () => handle.close(),
    };
  }

  readSmall(path: string, sizeBytes: number): Promise<{ content: Uint8Array; stat: FileStat }> {
    return this.#run("read", path, () => this.#inner.readSmall(path, sizeBytes));
  }

  async create(path: string): Promise<WriteHandle> {
    return this.#writer(path, await this.#run("create", path, () => this.#inner.create(path)));
  }

  async reopen(path: string): Promise<WriteHandle> {
    return this.#writer(path, await this.#run("open", path, () => this.#inner.reopen(path)));
  }

  #writer(path: string, handle: WriteHandle): WriteHandle {
    return {
      write: async (bytes) => {
        const { world, troubles, random } = this.#process;
        if (!this.#process.isAlive) return never();
        // A full disk may take a part first.
        if (world.nowMs < troubles.fullUntilMs && random.chance(0.3)) {
          await handle.write(bytes.subarray(0, random.int(0, bytes.length)));
          throw new FileError("no_space", `cannot write to ${path}: the disk is full`);
        }
        await this.#run("write", path, () => handle.write(bytes));
      },
      cutTo: (sizeBytes) => this.#now("shorten", path, () => handle.cutTo(sizeBytes)),
      setTimes: (mtimeMs) => this.#now("set the time of", path, () => handle.setTimes(mtimeMs)),
      setExecutable: (executable) =>
        this.#now("change the mode of", path, () => handle.setExecutable(executable)),
      flush: () => this.#run("flush", path, () => handle.flush()),
      stat: () => this.#run("look at", path, () => handle.stat()),
      close: () => handle.close(),
    };
  }

  link(from: string, to: string): Promise<void> {
    return this.#run("link", to, async () => {
      await this.#inner.link(from, to);
      this.#handled(to);
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#run("rename", from, async () => {
      await this.#inner.rename(from, to);
      this.#handled(to);
    });
  }

  /** Nobody comes in between, as good as ever; but the process can end there. */
  async replace(from: string, to: string, aside: string): Promise<void> {
    await this.#run("link", aside, () => this.#inner.link(to, aside));
    const fault = this.#process.diskFault("rename", from);
    if (fault !== null) throw fault;
    await this.#inner.rename(from, to);
    this.#handled(to);
    if (this.#process.reached()) return never();
  }

  #handled(path: string): void {
    if (!path.startsWith(STAGING_FOLDER)) this.#process.handled(this.#inner, path);
  }

  unlink(path: string): Promise<void> {
    return this.#run("delete", path, () => this.#inner.unlink(path));
  }

  mkdir(path: string): Promise<void> {
    return this.#run("mkdir", path, () => this.#inner.mkdir(path));
  }

  rmdir(path: string): Promise<void> {
    return this.#run("remove the folder", path, () => this.#inner.rmdir(path));
  }

  setTimes(path: string, mtimeMs: number): Promise<void> {
    this.#handled(path);
    return this.#run("set the time of", path, () => this.#inner.setTimes(path, mtimeMs));
  }

  setExecutable(path: string, executable: boolean): Promise<void> {
    return this.#run("change the mode of", path, () => this.#inner.setExecutable(path, executable));
  }

  copyMode(from: string, to: string): Promise<void> {
    return this.#run("change the mode of", to, () => this.#inner.copyMode(from, to));
  }

  flushFile(path: string): Promise<void> {
    return this.#run("flush", path, () => this.#inner.flushFile(path));
  }

  flushFolder(path: string): Promise<void> {
    return this.#run("flush", path, () => this.#inner.flushFolder(path));
  }

  async freeBytes(): Promise<number | null> {
    const free = await this.#run("look at", "", () => this.#inner.freeBytes());
    const { world, troubles } = this.#process;
    return world.nowMs < troubles.fullUntilMs ? 20 * 1024 ** 2 : free;
  }

  watch(): TreeWatcher {
    if (this.#process.reached()) throw new DeadError();
    const inner = this.#inner.watch();
    const outer = new MemoryWatcher(() => inner.close());
    void this.#relay(inner, outer);
    return outer;
  }

  /** Hands events on, in their order: a little later, much later, or never. */
  async #relay(inner: TreeWatcher, outer: MemoryWatcher): Promise<void> {
    const { world, troubles, random } = this.#process;
    let lastMs = 0;
    for await (const event of inner) {
      world.activity++;
      if (!this.#process.isAlive) return;
      const troubled = world.nowMs < troubles.watcherUntilMs;
      let delayMs = random.unit() * 2;
      if (troubled && troubles.watcher === "breaks" && random.chance(0.2)) {
        outer.fail(new FileError("io", "the watcher broke"));
        return;
      }
      if (troubled && troubles.watcher === "drops" && random.chance(0.5)) continue;
      if (troubled && troubles.watcher === "delays") delayMs = random.unit() * 3000;
      const overflows = troubled && troubles.watcher === "overflows" && random.chance(0.3);
      lastMs = Math.max(lastMs, world.nowMs + delayMs);
      world.after(lastMs - world.nowMs, () => {
        world.activity++;
        if (this.#process.isAlive) outer.tell(overflows ? { kind: "lost", paths: [] } : event);
      });
    }
  }
}
