import { createHash } from "node:crypto";
import { type FileStat, type Observation, PROVISIONAL_MS, sameStat } from "../domain/observation.ts";
import { FileError, type FileTree } from "../domain/ports.ts";
import type { Ledger } from "./ledger.ts";
import { Slices } from "../domain/slices.ts";
import { observedStat } from "./sighting.ts";

/** Past the time for which a change could hide behind the same stat. */
const CERTAIN_AFTER_MS = PROVISIONAL_MS + 100;
const READ_BYTES = 256 * 1024;
/** A file that could not be read is tried again after this. */
const RETRY_MS = 60_000;

/**
 * Reads once more the files that were hashed so soon after a change that another change could hide behind the same stat, one at a time, in
 * the background.
 */
export class Recheck {
  readonly #tree: FileTree;
  readonly #ledger: Ledger;
  readonly #lookAgain: (diskPath: string) => void;
  readonly #stopped: AbortSignal;
  /** Monotonic time from which on a path may be read: of files whose times lie in the future, and of those that could not be read. */
  readonly #notBefore = new Map<string, number>();
  #running: Promise<void> | null = null;

  constructor(tree: FileTree, ledger: Ledger, lookAgain: (diskPath: string) => void, stopped: AbortSignal) {
    this.#tree = tree;
    this.#ledger = ledger;
    this.#lookAgain = lookAgain;
    this.#stopped = stopped;
  }

  /** Resolves when nothing is being read. */
  get done(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  /**
   * Starts on what is due, unless it is at work already. Call it every two seconds or so.
   *
   * @param onError Takes what was not expected to go wrong.
   */
  kick(onError: (error: unknown) => void): void {
    if (this.#running !== null) return;
    const rows = this.#ledger.store.observed.provisional();
    if (rows.length === 0) return this.#notBefore.clear();
    this.#running = this.#work(rows).catch(onError).finally(() => this.#running = null);
  }

  async #work(rows: readonly Observation[]): Promise<void> {
    for (const row of rows) {
      if (this.#stopped.aborted) return;
      if (row.hash === null || row.held !== null || !this.#isDue(row)) continue;
      try {
        await this.#read(row);
        this.#notBefore.delete(row.path);
      } catch (error) {
        if (!(error instanceof FileError)) throw error;
        this.#notBefore.set(row.path, this.#ledger.clock.monotonic() + RETRY_MS);
      }
    }
  }

  #isDue(row: Observation): boolean {
    const { clock } = this.#ledger;
    const notBefore = this.#notBefore.get(row.path);
    if (notBefore !== undefined) return clock.monotonic() >= notBefore;
    const age = clock.now() - Math.max(row.mtimeMs, row.ctimeMs);
    if (age >= CERTAIN_AFTER_MS) return true;
    // A time in the future tells nothing: count from now.
    if (age < 0) this.#notBefore.set(row.path, clock.monotonic() + CERTAIN_AFTER_MS);
    return false;
  }

  async #read(row: Observation): Promise<void> {
    const { store } = this.#ledger;
    const handle = await this.#tree.openRead(row.diskPath);
    let stat: FileStat, hash: string | null;
    try {
      stat = observedStat(handle.opened);
      if (!sameStat(stat, row)) return this.#lookAgain(row.diskPath);
      const hasher = createHash("sha256");
      const buffer = new Uint8Array(Math.min(READ_BYTES, Math.max(row.sizeBytes, 1)));
      const slices = new Slices(this.#ledger.clock);
      let offset = 0;
      for (let count = -1; count !== 0; offset += count) {
        count = await handle.readAt(buffer, offset);
        hasher.update(buffer.subarray(0, count));
        if (this.#stopped.aborted) return;
        if (slices.over) await slices.rest();
      }
      hash = hasher.digest("hex");
      if (!sameStat(observedStat(await handle.stat()), row)) return this.#lookAgain(row.diskPath);
    } finally {
      handle.close();
    }
    const now = store.observed.get(row.path);
    // Changed, or hashed anew, while it was read here: the newer one counts.
    if (now === null || !now.provisional || now.hash !== row.hash || !sameStat(now, row)) return;
    if (hash === row.hash) {
      store.observed.setHash(row.path, hash, false);
      return;
    }
    using page = this.#ledger.page();
    page.add({ kind: "present", path: row.path, diskPath: row.diskPath, stat, distrusted: true });
    page.commit();
  }
}
