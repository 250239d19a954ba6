import { until } from "../support/until.ts";
import type { RelayOrder } from "./relay_worker.ts";

/** So long nothing may travel until all that belongs to a change is taken to have travelled. */
const QUIET_MS = 1000;

/**
 * Counts what a tool sends over TCP, both directions, all its connections, handshakes and encryption included.
 *
 * Every tool is made to connect through a relay, because that is exact and the same for all of them: the counters of the loopback
 * interface also count whatever else the machine does, `ss` loses what passes between its last look and the end of a connection
 * (for rsync and Unison that is most of a small one), and each tool's own statistics leave out other things. A relay costs time,
 * so times are measured in runs of their own, without one. The headers of TCP and IP are not counted: on loopback their share
 * depends on chance, on a real network they add about 3 % to every tool alike.
 */
export class Wire {
  readonly #counter = new BigInt64Array(new SharedArrayBuffer(8));
  readonly #workers: Worker[] = [];

  /** Bytes that have travelled so far. */
  get bytes(): number {
    return Number(Atomics.load(this.#counter, 0));
  }

  /** A port whose connections lead to `port`, where somebody has to listen only when they are made. */
  through(port: number): Promise<number> {
    const worker = new Worker(new URL("./relay_worker.ts", import.meta.url), { type: "module" });
    this.#workers.push(worker);
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<number>) => resolve(data);
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(`the relay failed: ${event.message}`));
      };
      worker.postMessage({ toPort: port, counter: this.#counter } satisfies RelayOrder);
    });
  }

  /** Returns once nothing has travelled for a second. */
  async quiet(): Promise<void> {
    let seen = this.bytes;
    let since = performance.now();
    await until("the connection to fall silent", () => {
      if (this.bytes !== seen) {
        seen = this.bytes;
        since = performance.now();
      }
      return performance.now() - since >= QUIET_MS;
    }, { everyMs: 50, deadlineMs: 120_000 });
  }

  /** Cuts whatever still goes through it. */
  stop(): Promise<void> {
    for (const worker of this.#workers) worker.terminate();
    return Promise.resolve();
  }
}
