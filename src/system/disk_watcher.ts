import type { TreeWatcher, WatchEvent } from "../domain/ports.ts";
import { toWatchError } from "./file_errors.ts";
import { OutwardLinks } from "./outward_links.ts";
import { PipeWatchdog } from "./pipe_watchdog.ts";

/** Tells of changes below a folder of the disk, by way of `Deno.watchFs`. */
export class DiskWatcher implements TreeWatcher {
  /** Linux says when a file that was open for writing is closed; the other systems don't. */
  readonly tellsClose = Deno.build.os === "linux";
  readonly #root: string;
  /** The root under every name that events may use for it (macOS resolves symlinks). */
  readonly #roots: readonly string[];
  readonly #watcher: Deno.FsWatcher;
  readonly #watchdog: PipeWatchdog | null;
  readonly #links: OutwardLinks | null;
  /** What was told and not yet taken. */
  readonly #told: WatchEvent[] = [];
  #isIterated = false;
  #wake = Promise.withResolvers<void>();

  /** @throws {FileError} when the folder, or one below it, cannot be watched; the message says the way out. */
  constructor(root: string) {
    this.#root = root;
    this.#watchdog = PipeWatchdog.start(root);
    try {
      this.#roots = [...new Set([root, Deno.realPathSync(root)])];
      const paths = this.#watchdog === null ? root : [root, this.#watchdog.heartbeat];
      this.#watcher = Deno.watchFs(paths, { recursive: true });
    } catch (error) {
      this.#watchdog?.close();
      throw toWatchError(error, root);
    }
    this.#links = Deno.build.os === "linux" ? this.#watchLinks(root) : null;
  }

  #watchLinks(root: string): OutwardLinks | null {
    try {
      return new OutwardLinks(
        root,
        (path) => this.#tell({ kind: "renamed", paths: [this.#relative(path) ?? ""] }),
      );
    } catch {
      return null; // Then such links are found by the next scan.
    }
  }

  #tell(event: WatchEvent): void {
    this.#told.push(event);
    this.#wake.resolve();
  }

  close(): void {
    this.#watchdog?.hold();
    void this.#links?.close();
    try {
      this.#watcher.close();
    } catch {
      // It has ended by itself.
    }
    // The runtime closes it only when the iteration has ended.
    if (!this.#isIterated) this.#watchdog?.close();
  }

  async *[Symbol.asyncIterator](): AsyncIterableIterator<WatchEvent> {
    let isOver = false;
    this.#isIterated = true;
    const reading = this.#read().finally(() => {
      isOver = true;
      this.#wake.resolve();
    });
    // Whoever iterates is told of a failure when everything before it was taken.
    reading.catch(() => {});
    try {
      while (true) {
        yield* this.#told.splice(0);
        if (isOver) break;
        if (this.#told.length > 0) continue;
        this.#wake = Promise.withResolvers();
        await this.#wake.promise;
      }
      await reading;
    } finally {
      await this.#links?.close();
      this.#watchdog?.close();
    }
  }

  async #read(): Promise<void> {
    const events = this.#watcher[Symbol.asyncIterator]();
    while (true) {
      let next: IteratorResult<Deno.FsEvent>;
      try {
        next = await events.next();
      } catch (error) {
        // A name that is not UTF-8. Deno cannot say which, but the events after it come as usual.
        if (error instanceof TypeError && /utf-?8/i.test(error.message)) {
          this.#tell({ kind: "lost", paths: [] });
          continue;
        }
        throw toWatchError(error, this.#root);
      }
      if (next.done) return;
      if (this.#watchdog?.hears(next.value)) continue;
      const event = this.#translate(next.value);
      if (event !== null) this.#tell(event);
    }
  }

  #translate(event: Deno.FsEvent): WatchEvent | null {
    if (event.flag === "rescan") return { kind: "lost", paths: [] };
    const kind = this.#kindOf(event.kind);
    if (kind === null) return null;
    const paths = event.paths.map((path) => this.#relative(path));
    // A path elsewhere is the target of a symlink: which name it has here is not said.
    if (paths.includes(null)) return { kind: "lost", paths: [] };
    return { kind, paths: paths.filter((path) => path !== null) };
  }

  #kindOf(kind: Deno.FsEvent["kind"]): WatchEvent["kind"] | null {
    switch (kind) {
      case "create":
        return "created";
      case "remove":
        return "removed";
      case "rename":
        return "renamed";
      case "access":
        return this.tellsClose ? "closed" : null;
      default:
        return "modified";
    }
  }

  #relative(path: string): string | null {
    for (const root of this.#roots) {
      if (path === root) return "";
      const prefix = root.endsWith("/") || root.endsWith("\\") ? root : null;
      if (prefix !== null && path.startsWith(prefix)) return unified(path.slice(prefix.length));
      if (prefix === null && path.startsWith(root) && /^[\\/]/.test(path.slice(root.length))) {
        return unified(path.slice(root.length + 1));
      }
    }
    return null;
  }
}

function unified(path: string): string {
  return Deno.build.os === "windows" ? path.replaceAll("\\", "/") : path;
}
