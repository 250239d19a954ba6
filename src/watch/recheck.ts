import { createHash } from "node:crypto";
import { type FileStat, type Observation, PROVISIONAL_MS, sameStat } from "../domain/observation.ts";
import { FileError, type FileTree } from "../domain/ports.ts";
import type { Ledger } from "./ledger.ts";
import { readParts } from "../domain/read_parts.ts";
import { Slices } from "../domain/slices.ts";
import { observedStat } from "./sighting.ts";

/** Past the time for which a change could hide behind the same stat. */
const CERTAIN_AFTER_MS = PROVISIONAL_MS + 100;
const READ_BYTES = 256 * 1024;
/** A file that could not be read is tried again after this. */
const RETRY_MS = 60_000;

/** Others get this many times as much of the time: nobody waits for what is read here. */
const OTHERS_SHARE = 4;

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
    const slices = new Slices(this.#ledger.clock, () => OTHERS_SHARE);
    const certain: Observation[] = [];
    for (const row of rows) {
      if (this.#stopped.aborted) break;
      if (row.hash === null || row.held !== null || !this.#isDue(row)) continue;
      try {
        if (await this.#isAsHashed(row, slices)) certain.push(row);
        this.#notBefore.delete(row.path);
      } catch (error) {
        if (!(error instanceof FileError)) throw error;
        this.#notBefore.set(row.path, this.#ledger.clock.monotonic() + RETRY_MS);
      }
      if (!slices.over) continue;
      this.#settle(certain.splice(0));
      await slices.rest();
    }
    this.#settle(certain);
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

  /** Whether a file still has the content that was hashed. What is not as it was is looked at again, or noted. */
  async #isAsHashed(row: Observation, slices: Slices): Promise<boolean> {
    const read = await this.#hash(row, slices);
    if (read === null) return false;
    if (!sameStat(read.stat, row)) {
      this.#lookAgain(row.diskPath);
      return false;
    }
    if (read.hash === row.hash) return true;
    if (!this.#isCurrent(row)) return false;
    using page = this.#ledger.page();
    const { path, diskPath } = row;
    page.add({ kind: "present", path, diskPath, stat: read.stat, distrusted: true });
    page.commit();
    return false;
  }

  /** @returns `null` when it was stopped. */
  async #hash(row: Observation, slices: Slices): Promise<{ hash: string; stat: FileStat } | null> {
    const hasher = createHash("sha256");
    if (row.sizeBytes <= READ_BYTES) {
      const { content, stat } = await this.#tree.readSmall(row.diskPath, row.sizeBytes);
      return { hash: hasher.update(content).digest("hex"), stat: observedStat(stat) };
    }
    const handle = await this.#tree.openRead(row.diskPath);
    try {
      const stat = observedStat(handle.opened);
      if (!sameStat(stat, row)) return { hash: "", stat };
      for await (const part of readParts(handle, slices)) {
        hasher.update(part);
        if (this.#stopped.aborted) return null;
      }
      return { hash: hasher.digest("hex"), stat: observedStat(await handle.stat()) };
    } finally {
      handle.close();
    }
  }

  /** Notes that nothing hides behind the stat of these files any more. A power cut may take that back: they are read again then. */
  #settle(certain: readonly Observation[]): void {
    if (certain.length === 0) return;
    const { store } = this.#ledger;
    store.relaxedTransaction(() => {
      for (const row of certain) {
        if (this.#isCurrent(row)) store.observed.setHash(row.path, row.hash!, false);
      }
    });
  }

  /** Whether a file was not changed, or hashed anew, while it was read here: the newer one counts. */
  #isCurrent(row: Observation): boolean {
    const now = this.#ledger.store.observed.get(row.path);
    return now !== null && now.provisional && now.hash === row.hash && sameStat(now, row);
  }
}
