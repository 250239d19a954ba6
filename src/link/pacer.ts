import type { Clock } from "../domain/ports.ts";
import { TokenBucket } from "../domain/token_bucket.ts";
import type { Pace } from "../wire/pace.ts";

/** What may be caught up after a rest. It must outlast a busy control thread, and stay small beside the bytes of two seconds. */
const BURST_MS = 40;
/** How long the bytes of one write or read stand for. */
const SLICE_MS = 20;
const MIN_SLICE_BYTES = 1024;
const MAX_SLICE_BYTES = 256 * 1024;

/** Lets bytes go at a limited rate, over all links that share it: who asks first goes first, a slice each time. */
export class Pacer implements Pace {
  readonly bytesPerSecond: number;
  readonly sliceBytes: number;
  readonly #clock: Clock;
  readonly #bucket: TokenBucket;
  readonly #waiting = new Set<() => void>();
  #cancelTimer: (() => void) | null = null;

  constructor(bytesPerSecond: number, clock: Clock) {
    const share = (ms: number) => Math.ceil(bytesPerSecond * ms / 1000);
    this.bytesPerSecond = bytesPerSecond;
    this.sliceBytes = Math.min(MAX_SLICE_BYTES, Math.max(MIN_SLICE_BYTES, share(SLICE_MS)));
    this.#clock = clock;
    this.#bucket = new TokenBucket(bytesPerSecond, share(BURST_MS), clock.monotonic());
  }

  get isOpen(): boolean {
    return this.#waiting.size === 0 && this.#bucket.waitMs(this.#clock.monotonic()) === 0;
  }

  wait(go: () => void): () => void {
    const waiter = () => go(); // a key of its own, whatever `go` is
    this.#waiting.add(waiter);
    this.#look();
    return () => {
      this.#waiting.delete(waiter);
      if (this.#waiting.size > 0) return;
      this.#cancelTimer?.();
      this.#cancelTimer = null;
    };
  }

  took(bytes: number): void {
    this.#bucket.take(bytes, this.#clock.monotonic());
  }

  /** Lets the first one go if it may; the others are looked at again once that one has taken its bytes. */
  #look(): void {
    const [first] = this.#waiting;
    if (first === undefined || this.#cancelTimer !== null) return;
    const waitMs = this.#bucket.waitMs(this.#clock.monotonic());
    if (waitMs === 0) {
      this.#waiting.delete(first);
      first();
      if (this.#waiting.size === 0) return;
    }
    this.#cancelTimer ??= this.#clock.after(waitMs, () => {
      this.#cancelTimer = null;
      this.#look();
    });
  }
}
