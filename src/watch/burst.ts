/** A folder with more events than this in one window has a burst: some of its events may be lost. */
const MANY = 200;
const WINDOW_MS = 100;
/** The folder is listed so long after its burst, … */
const AFTER_MS = 300;
/** … or so long after its start when the burst does not end. */
const AT_LATEST_MS = 3000;

/** Finds the folders in which so much happens that events may have been lost. */
export class Bursts {
  readonly #counts = new Map<string, number>();
  #windowStart = -Infinity;
  /** When the burst began, by folder. */
  readonly #since = new Map<string, number>();

  /**
   * Counts an event in a folder.
   *
   * @param now Of the monotonic clock, in milliseconds.
   * @returns When the folder is to be listed, as far as is known now; `null` when nothing is wrong.
   */
  count(folder: string, now: number): number | null {
    if (now - this.#windowStart > WINDOW_MS) {
      this.#counts.clear();
      this.#windowStart = now;
    }
    const count = (this.#counts.get(folder) ?? 0) + 1;
    this.#counts.set(folder, count);
    let since = this.#since.get(folder);
    if (since === undefined) {
      if (count <= MANY) return null;
      since = now;
      this.#since.set(folder, since);
    }
    return Math.max(now, Math.min(now + AFTER_MS, since + AT_LATEST_MS));
  }

  /** The folder is being listed. */
  listed(folder: string): void {
    this.#since.delete(folder);
  }
}
