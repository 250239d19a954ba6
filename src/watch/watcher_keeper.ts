import { type Clock, FileError, type FileTree, type TreeWatcher, type WatchEvent } from "../domain/ports.ts";
import { messageOf } from "../domain/mirror_error.ts";
import type { Problem } from "../domain/status.ts";

const FIRST_RETRY_MS = 5000;
const LAST_RETRY_MS = 60_000;
/** Past the turn of the event loop in which a closed watcher lets go. */
const RELEASE_MS = 5;

/** What the keeper tells. */
export interface WatcherListener {
  onWatchEvent(event: WatchEvent): void;
  /** From now on nothing is told. Called once for each cause. */
  onBroken(problem: Problem): void;
  /** Events are told again, after a time without. */
  onMended(): void;
}

/** Keeps a watcher of a tree alive: notices when it breaks, or when its root was made anew, and tries again until it works. */
export class WatcherKeeper {
  readonly #tree: FileTree;
  readonly #clock: Clock;
  readonly #listener: WatcherListener;
  #watcher: TreeWatcher | null = null;
  #root: { readonly inode: number; readonly device: number } | null = null;
  #problem: Problem | null = null;
  #tellsClose = false;
  #sinceMs = 0;
  #retryMs = FIRST_RETRY_MS;
  #brokeAt = -Infinity;
  #cancelRetry: (() => void) | null = null;
  #opening: Promise<void> | null = null;
  #reading: Promise<void> = Promise.resolve();
  /** A watcher was closed and not waited for yet. */
  #wasClosed = false;
  #stopped = false;

  constructor(tree: FileTree, clock: Clock, listener: WatcherListener) {
    this.#tree = tree;
    this.#clock = clock;
    this.#listener = listener;
  }

  get watching(): boolean {
    return this.#watcher !== null;
  }

  get problem(): Problem | null {
    return this.#problem;
  }

  /** Wall time since which events are told, in milliseconds; `null` while none are. */
  get watchingSinceMs(): number | null {
    return this.#watcher === null ? null : this.#sinceMs;
  }

  get tellsClose(): boolean {
    return this.#tellsClose;
  }

  /** Tries to watch, now. Resolves when that worked or not. */
  open(): Promise<void> {
    if (this.#watcher !== null || this.#stopped) return Promise.resolve();
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    return this.#opening ??= this.#open().finally(() => this.#opening = null);
  }

  async #open(): Promise<void> {
    await this.#released();
    if (this.#stopped) return;
    try {
      const root = await this.#tree.lstat("");
      if (this.#stopped) return;
      const sinceMs = this.#clock.now();
      const watcher = this.#tree.watch();
      this.#watcher = watcher;
      this.#tellsClose = watcher.tellsClose;
      this.#sinceMs = sinceMs;
      this.#root = root;
      this.#reading = this.#read(watcher);
    } catch (error) {
      this.#broke(error);
      return;
    }
    if (this.#problem === null) return;
    this.#problem = null;
    this.#listener.onMended();
  }

  /**
   * Resolves when the last watcher has really let go. Deno keeps one watch for each path in a process: a watcher that goes after its
   * successor came takes that one's events with it.
   */
  async #released(): Promise<void> {
    await this.#reading;
    if (this.#wasClosed) await new Promise<void>((resolve) => this.#clock.after(RELEASE_MS, resolve));
    this.#wasClosed = false;
  }

  async #read(watcher: TreeWatcher): Promise<void> {
    try {
      for await (const event of watcher) {
        if (this.#watcher !== watcher) return;
        this.#listener.onWatchEvent(event);
      }
      if (this.#watcher === watcher) this.#broke(new FileError("io", "the watcher ended by itself"));
    } catch (error) {
      if (this.#watcher === watcher) this.#broke(error);
    }
  }

  /**
   * Makes certain that the root is still the folder that is watched: a watcher says nothing of a root that was made anew.
   * One stat; call it every two seconds or so.
   *
   * @param removed The watcher has told that the root was removed or renamed: then it is another one even if it looks the same, as some
   * file systems give a new folder the number of the one that has just gone.
   */
  async checkRoot(removed = false): Promise<void> {
    const watcher = this.#watcher, known = this.#root;
    if (watcher === null || known === null) return;
    let error: FileError | null = null;
    try {
      const root = await this.#tree.lstat("");
      if (root === null || root.kind !== "folder") {
        error = new FileError(
          "not_found",
          `the watched folder ${this.#tree.root} is not there any more: make it again, or mount the disk that holds it`,
        );
      } else if (removed || root.inode !== known.inode || root.device !== known.device) {
        error = new FileError("io", `the watched folder ${this.#tree.root} is another one than before`);
      }
    } catch (cause) {
      error = cause instanceof FileError ? cause : new FileError("io", messageOf(cause), { cause });
    }
    if (error === null || this.#watcher !== watcher) return;
    // Made anew: it can be watched at once.
    const replaced = error.code === "io";
    this.#broke(error, replaced);
    if (replaced) await this.open();
  }

  #broke(error: unknown, quietly = false): void {
    this.#close();
    if (this.#stopped) return;
    const now = this.#clock.monotonic();
    // Only a watcher that then held for a while starts the waiting from its beginning.
    this.#retryMs = now - this.#brokeAt > 2 * LAST_RETRY_MS ? FIRST_RETRY_MS : this.#retryMs;
    this.#brokeAt = now;
    const message = messageOf(error);
    const isNews = this.#problem?.message !== message;
    if (isNews) this.#problem = { code: "watcher", message, sinceMs: this.#clock.now() };
    this.#cancelRetry?.();
    this.#cancelRetry = this.#clock.after(this.#retryMs, () => void this.open());
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
    if (isNews && !quietly) this.#listener.onBroken(this.#problem!);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.#close();
    await this.#opening;
    await this.#released();
  }

  #close(): void {
    if (this.#watcher === null) return;
    this.#watcher.close();
    this.#watcher = null;
    this.#wasClosed = true;
  }
}
