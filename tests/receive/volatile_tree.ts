import { joinPath, STAGING_FOLDER } from "../../src/domain/relative_path.ts";
import type { WriteHandle } from "../../src/domain/ports.ts";
import { DiskTree, type Mount } from "../../src/system/disk_tree.ts";

/** What a power cut leaves of the part of a file that was not flushed. */
export type Remains = "nothing" | "half" | "zeros";

/**
 * A folder on a disk that holds back everything it may hold back: what was written and not flushed is lost when the power is cut,
 * while names and sizes may be there already.
 */
export class VolatileTree extends DiskTree {
  /** By inode: bytes from the start of a file that are durable. Files that are not in here were there before, and are. */
  readonly #durable = new Map<number, number>();
  readonly #at: string;
  /** Journals whose names are durable. */
  #names = new Set<string>();
  #namesOnDisk = new Set<string>();
  #foldersFlushed = false;

  constructor(root: string, mount: Mount | null = null) {
    super(root, mount);
    this.#at = root;
  }

  override async create(path: string): Promise<WriteHandle> {
    const handle = await super.create(path);
    const { inode } = await handle.stat();
    this.#durable.set(inode, 0);
    if (path.startsWith(`${STAGING_FOLDER}/`)) this.#names.add(path);
    return {
      write: (bytes) => handle.write(bytes),
      cutTo: (sizeBytes) => handle.cutTo(sizeBytes),
      setTimes: (mtimeMs) => handle.setTimes(mtimeMs),
      setExecutable: (executable) => handle.setExecutable(executable),
      stat: () => handle.stat(),
      close: () => handle.close(),
      flush: async () => {
        // What is written while it is being flushed need not be in it.
        const { sizeBytes } = await handle.stat();
        await handle.flush();
        this.#durable.set(inode, sizeBytes);
      },
    };
  }

  override async flushFile(path: string): Promise<void> {
    const stat = await this.lstat(path);
    await super.flushFile(path);
    if (stat !== null) this.#durable.delete(stat.inode);
  }

  override async flushFolder(path: string): Promise<void> {
    const names = new Set(this.#names);
    await super.flushFolder(path);
    if (path === STAGING_FOLDER) this.#namesOnDisk = names;
    if (path === "") this.#foldersFlushed = true;
  }

  /** Loses what is not on the disk. */
  async cutPower(remains: Remains): Promise<void> {
    for (const path of this.#names) {
      const isOnDisk = this.#foldersFlushed && this.#namesOnDisk.has(path);
      if (path.includes("/journal-") && !isOnDisk) {
        await Deno.remove(`${this.#at}/${path}`).catch(ignoreMissing);
      }
    }
    await this.#cutFolder("", remains);
  }

  async #cutFolder(folder: string, remains: Remains): Promise<void> {
    for (const { name, stat } of await this.list(folder)) {
      const path = joinPath(folder, name);
      if (stat?.kind === "folder") await this.#cutFolder(path, remains);
      const durableBytes = stat === null ? undefined : this.#durable.get(stat.inode);
      if (stat?.kind !== "file" || durableBytes === undefined || durableBytes >= stat.sizeBytes) continue;
      const at = `${this.#at}/${path}`;
      const lost = stat.sizeBytes - durableBytes;
      await Deno.truncate(at, durableBytes + (remains === "half" ? Math.floor(lost / 2) : 0));
      if (remains === "zeros") await Deno.truncate(at, stat.sizeBytes);
      // The inode with its times is there, unless nothing is.
      if (remains !== "nothing") await this.setTimes(path, stat.mtimeMs);
    }
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
