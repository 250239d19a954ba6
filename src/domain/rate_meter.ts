/** What lies longer back than this does not count any more. */
const WINDOW_MS = 5_000;
/** Over less time than this a rate would say nothing. */
const MIN_SPAN_MS = 400;
/** Looks that follow each other faster than this count as one. */
const SPACING_MS = 100;

/** How fast a total grows: its average growth over the last few seconds. */
export class RateMeter {
  #samples: { readonly atMs: number; readonly total: number }[] = [];

  /** @param atMs Milliseconds of a clock that never goes back. */
  add(atMs: number, total: number): void {
    const last = this.#samples.at(-1);
    // A transfer that goes back to an earlier place begins anew.
    if (last !== undefined && total < last.total) this.#samples = [];
    const before = this.#samples.at(-2);
    if (before !== undefined && atMs - before.atMs < SPACING_MS) this.#samples.pop();
    this.#samples.push({ atMs, total });
    // The first one stays at or before the window's start, so that the window is always full.
    while (this.#samples.length > 2 && atMs - this.#samples[1]!.atMs >= WINDOW_MS) this.#samples.shift();
  }

  /** Per second; `null` while too little has been seen. */
  get perSecond(): number | null {
    const first = this.#samples[0], last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.atMs - first.atMs < MIN_SPAN_MS) return null;
    return (last.total - first.total) * 1000 / (last.atMs - first.atMs);
  }
}
