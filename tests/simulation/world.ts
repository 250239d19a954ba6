/** Turns of the microtask queue without a call from the program after which it is taken to wait for time to pass. */
const QUIET_TURNS = 24;
/** Turns after which others get their turn all the same. */
const MAX_TURNS = 5000;

interface Event {
  readonly atMs: number;
  readonly number: number;
  readonly run: () => void;
  cancelled: boolean;
}

/**
 * Time, and what happens in it, in one queue: nothing here waits for real time, and everything has one order. Time jumps to the
 * next event when nothing can run.
 */
export class World {
  /** Milliseconds since the simulation began. */
  nowMs = 0;
  /** Grows with every call of the program into its surroundings. */
  activity = 0;
  #count = 0;
  readonly #heap: Event[] = [];

  /** Runs `run` after `delayMs`; the returned function cancels it. */
  after(delayMs: number, run: () => void): () => void {
    this.activity++;
    const event = { atMs: this.nowMs + Math.max(0, delayMs), number: this.#count++, run, cancelled: false };
    this.#push(event);
    return () => {
      event.cancelled = true;
    };
  }

  /** Lets events happen until `isDone` says so; tells whether it did before `untilMs`. */
  async run(isDone: () => boolean, untilMs: number): Promise<boolean> {
    await this.#settle();
    while (!isDone()) {
      const event = this.#pop();
      if (event === null || event.atMs > untilMs) {
        if (event !== null) this.#push(event);
        this.nowMs = untilMs;
        return isDone();
      }
      if (event.cancelled) continue;
      this.nowMs = Math.max(this.nowMs, event.atMs);
      event.run();
      await this.#settle();
    }
    return true;
  }

  /** Lets `delayMs` pass. */
  async pass(delayMs: number): Promise<void> {
    await this.run(() => false, this.nowMs + delayMs);
  }

  /** Runs everything that can run without time passing. */
  async #settle(): Promise<void> {
    let seen = this.activity;
    for (let quiet = 0, turns = 0; quiet < QUIET_TURNS && turns < MAX_TURNS; quiet++, turns++) {
      await null;
      if (this.activity === seen) continue;
      seen = this.activity;
      quiet = 0;
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event | null {
    const heap = this.#heap;
    const first = heap[0] ?? null;
    const last = heap.pop();
    if (first === null || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.number < b.number);
}
