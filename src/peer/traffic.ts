import type { Clock } from "../domain/ports.ts";
import type { Link } from "../link/link.ts";

/** Counts bytes over all links, those that have ended too, and the rate over the last second. */
export class Traffic {
  readonly #clock: Clock;
  #ended = { sent: 0, received: 0 };
  #before = { sent: 0, received: 0, atMs: 0 };
  #rate = { sentPerSecond: 0, receivedPerSecond: 0 };

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#before.atMs = clock.monotonic();
  }

  /** A link has ended: its bytes stay in the sum. */
  keep(link: Link): void {
    this.#ended.sent += link.bytesWritten;
    this.#ended.received += link.bytesRead;
  }

  total(links: Iterable<Link>): { sent: number; received: number } {
    let { sent, received } = this.#ended;
    for (const link of links) {
      sent += link.bytesWritten;
      received += link.bytesRead;
    }
    return { sent, received };
  }

  /** Bytes per second since the last reading that is at least a second old. */
  rate(links: Iterable<Link>): { sentPerSecond: number; receivedPerSecond: number } {
    const now = this.#clock.monotonic();
    const passedMs = now - this.#before.atMs;
    if (passedMs >= 1000) {
      const { sent, received } = this.total(links);
      this.#rate = {
        sentPerSecond: Math.round((sent - this.#before.sent) / passedMs * 1000),
        receivedPerSecond: Math.round((received - this.#before.received) / passedMs * 1000),
      };
      this.#before = { sent, received, atMs: now };
    }
    return this.#rate;
  }
}
