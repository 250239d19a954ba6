import type { Clock } from "../domain/ports.ts";
import { RateMeter } from "../domain/rate_meter.ts";
import type { TransferProgress, TransferStatus } from "../domain/status.ts";

/** Adds to each transfer how fast it gets on: the only place where that is worked out. */
export class TransferRates {
  readonly #clock: Clock;
  #meters = new Map<string, RateMeter>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Each call is a look at all transfers that there are; those that are missing have ended. */
  measure(transfers: readonly TransferProgress[]): TransferStatus[] {
    const before = this.#meters;
    this.#meters = new Map();
    const now = this.#clock.monotonic();
    return transfers.map((transfer) => {
      const { direction, peer, path, doneBytes, sizeBytes, startedMs } = transfer;
      const key = JSON.stringify([direction, peer, path, startedMs]);
      const meter = before.get(key) ?? new RateMeter();
      this.#meters.set(key, meter);
      meter.add(now, doneBytes);
      const rate = meter.perSecond;
      const leftBytes = Math.max(0, sizeBytes - doneBytes);
      return {
        ...transfer,
        bytesPerSecond: rate === null ? null : Math.round(rate),
        leftMs: rate === null || rate === 0 ? null : Math.round(leftBytes * 1000 / rate),
      };
    });
  }
}
