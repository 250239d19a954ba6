import type { TreeWatcher, WatchEvent } from "../domain/ports.ts";
import { toWatchError } from "./file_errors.ts";

/** Tells of changes below a folder of the disk, by way of `Deno.watchFs`. */
export class DiskWatcher implements TreeWatcher {
  /** Linux says when a file that was open for writing is closed; the other systems don't. */
  readonly tellsClose = Deno.build.os === "linux";
  readonly #root: string;
  /** The root under every name that events may use for it (macOS resolves symlinks). */
  readonly #roots: readonly string[];
  readonly #watcher: Deno.FsWatcher;

  /** @throws {FileError} when the folder, or one below it, cannot be watched; the message says the way out. */
  constructor(root: string) {
    this.#root = root;
    try {
      this.#roots = [...new Set([root, Deno.realPathSync(root)])];
      this.#watcher = Deno.watchFs(root, { recursive: true });
    } catch (error) {
      throw toWatchError(error, root);
    }
  }

  close(): void {
    try {
      this.#watcher.close();
    } catch {
      // It has ended by itself.
    }
  }

  async *[Symbol.asyncIterator](): AsyncIterableIterator<WatchEvent> {
    const events = this.#watcher[Symbol.asyncIterator]();
    while (true) {
      let next: IteratorResult<Deno.FsEvent>;
      try {
        next = await events.next();
      } catch (error) {
        // A name that is not UTF-8. Deno cannot say which, but the events after it come as usual.
        if (error instanceof TypeError && /utf-?8/i.test(error.message)) {
          yield { kind: "lost", paths: [] };
          continue;
        }
        throw toWatchError(error, this.#root);
      }
      if (next.done) return;
      const event = this.#translate(next.value);
      if (event !== null) yield event;
    }
  }

  #translate(event: Deno.FsEvent): WatchEvent | null {
    if (event.flag === "rescan") return { kind: "lost", paths: [] };
    const kind = this.#kindOf(event.kind);
    return kind === null ? null : { kind, paths: event.paths.map((path) => this.#relative(path)) };
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

  #relative(path: string): string {
    for (const root of this.#roots) {
      if (path === root) return "";
      const prefix = root.endsWith("/") || root.endsWith("\\") ? root : null;
      if (prefix !== null && path.startsWith(prefix)) return unified(path.slice(prefix.length));
      if (prefix === null && path.startsWith(root) && /^[\\/]/.test(path.slice(root.length))) {
        return unified(path.slice(root.length + 1));
      }
    }
    return "";
  }
}

function unified(path: string): string {
  return Deno.build.os === "windows" ? path.replaceAll("\\", "/") : path;
}
