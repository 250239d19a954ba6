/**
 * Tells of symlinks that come to lie below a watched folder. `Deno.watchFs` (2.9.6, Linux) keeps to itself whatever happens to a path that
 * leads out of the folder: a new link, and even the removal of the file that it took the place of. All watchers of a process share one in
 * the runtime, which asks of each event only whether its path leads to below what was asked for: to below `/`, every path does. So a watch of
 * `/` alone (not of what is in it) is told of everything that the other watchers of the process cause to be watched.
 */
export class OutwardLinks {
  readonly #watcher: Deno.FsWatcher;
  readonly #done: Promise<void>;

  /**
   * @param root The watched folder; it has to be watched already.
   * @param onLink Takes the path of a symlink below it, as events show it.
   */
  constructor(root: string, onLink: (path: string) => void) {
    this.#watcher = Deno.watchFs("/", { recursive: false });
    this.#done = this.#read(root.endsWith("/") ? root : `${root}/`, onLink);
  }

  async #read(prefix: string, onLink: (path: string) => void): Promise<void> {
    const events = this.#watcher[Symbol.asyncIterator]();
    while (true) {
      let next: IteratorResult<Deno.FsEvent>;
      try {
        next = await events.next();
      } catch (error) {
        // A name that is not UTF-8: the events after it come as usual. Anything else also stops the watcher of the folder, which says so.
        if (error instanceof TypeError) continue;
        return;
      }
      if (next.done) return;
      const { kind, paths } = next.value;
      if (kind !== "create" && kind !== "remove" && kind !== "rename") continue;
      for (const path of paths) if (path.startsWith(prefix) && isLink(path)) onLink(path);
    }
  }

  /** Resolves when nothing is told any more. */
  async close(): Promise<void> {
    try {
      this.#watcher.close();
    } catch {
      // It has ended by itself.
    }
    await this.#done;
  }
}

function isLink(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSymlink;
  } catch {
    return false;
  }
}
