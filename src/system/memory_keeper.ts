import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const LOOK_EVERY_MS = 1_000;
/** Up to this the process may hold what it likes. */
const MODEST_BYTES = 112 * 1024 * 1024;
/** What may have come since the last collection: one takes a tenth of a second, and more where page faults are slow. */
const GROWN_BYTES = 8 * 1024 * 1024;
/** Collecting must not take more than this share of the time. */
const SHARE = 0.05;

/**
 * Has garbage collected when the process has grown. The runtime looks only at JavaScript's own memory to decide when to do that;
 * a hash or an unpacker is next to nothing there, and hundreds of bytes beside it. With three of them for each piece of a file
 * the process would grow by 5 MB a gigabyte.
 */
export class MemoryKeeper implements Disposable {
  readonly #collect: (() => void) | null = garbageCollector();
  readonly #timer = setInterval(() => this.look(), LOOK_EVERY_MS).unref();
  #leastBytes = 0;
  #notBeforeMs = 0;

  look(): void {
    const { rss } = Deno.memoryUsage();
    this.#leastBytes = Math.min(this.#leastBytes, rss);
    const startMs = performance.now();
    if (rss < MODEST_BYTES || rss < this.#leastBytes + GROWN_BYTES || startMs < this.#notBeforeMs) return;
    this.#collect?.();
    this.#leastBytes = Deno.memoryUsage().rss;
    const endMs = performance.now();
    this.#notBeforeMs = endMs + (endMs - startMs) / SHARE;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** V8's own collector, which is shown only to those who ask for it; `null` where it is not. */
function garbageCollector(): (() => void) | null {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("globalThis.gc");
  return typeof collect === "function" ? () => void collect() : null;
}
