import { FileError, type TreeWatcher, type WatchEvent } from "../domain/ports.ts";
import { shownPath, toWatchError } from "./file_errors.ts";
import { OutwardLinks } from "./outward_links.ts";
import { PipeWatchdog } from "./pipe_watchdog.ts";

/**
 * Tells of changes below a folder of the disk, by way of `Deno.watchFs`.
 *
 * The runtime has one thread for all watchers of the process. Where that waits in a named pipe which is gone (see {@linkcode PipeWatchdog}),
 * making another watcher, or closing one, would wait for ever too: this one is left as it is, and there is none until it is heard again.
 */
export class DiskWatcher implements TreeWatcher {
  /** Why the process can have no watcher now. */
  static #stuck: FileError | null = null;
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
  #isStuck = false;
  #wake = Promise.withResolvers<void>();

  /** @throws {FileError} when the folder, or one below it, cannot be watched; the message says the way out. */
  constructor(root: string) {
    if (DiskWatcher.#stuck !== null) throw DiskWatcher.#stuck;
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
    if (this.#watchdog !== null) this.#watchdog.onStuck = () => this.#leave();
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
    if (this.#watchdog?.hold() === false) this.#leave();
    if (!this.#isStuck) this.#closeRuntime();
    // The runtime closes it only when the iteration has ended.
    if (!this.#isIterated) this.#watchdog?.close();
  }

  #closeRuntime(): void {
    void this.#links?.close();
    try {
      this.#watcher.close();
    } catch {
      // It has ended by itself.
    }
  }

  /** Nothing is heard of it any more, and nothing can be done about that. */
  #leave(): void {
    if (this.#isStuck) return;
    this.#isStuck = true;
    DiskWatcher.#stuck = new FileError(
      "io",
      `the system's watcher waits in a named pipe that was made in ${shownPath(this.#root)} and is gone: ` +
        "start MirrorSync again; until then changes are found by looking through the folder every few seconds",
    );
    this.#wake.resolve();
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
        if (this.#isStuck) throw DiskWatcher.#stuck;
        if (isOver) break;
        if (this.#told.length > 0) continue;
        this.#wake = Promise.withResolvers();
        await this.#wake.promise;
      }
      await reading;
    } finally {
      if (!this.#isStuck) await this.#links?.close();
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
      if (this.#isStuck) {
        // Somebody had the pipe open after all, and has closed it: from now on watchers work again.
        DiskWatcher.#stuck = null;
        return this.#closeRuntime();
      }
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
