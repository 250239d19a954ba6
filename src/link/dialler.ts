import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Address, Clock, Connection, Network, Random } from "../domain/ports.ts";
import { DIAL_BACKOFF, retryDelayMs } from "../domain/retry.ts";

/** A link that lasted this long was a good one: the next attempts start over with short waits. */
const GOOD_LINK_MS = 2_000;

/** What a dialler needs of its surroundings. */
export interface DiallerParts {
  /** Tried in this order, the one that worked last before the others. */
  readonly addresses: readonly Address[];
  /** Fingerprint of the peer that is to answer; `null` for any trusted one. */
  readonly expect: string | null;
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  /** Resolves once there is no link to the peer that answers at the address; at once when there is none. */
  readonly needed: () => Promise<void>;
  /** Takes a connection over; resolves when its link has ended, throws when it came to nothing. */
  readonly adopt: (connection: Connection) => Promise<void>;
  /** Told of every failed attempt: why, and when the next one is. */
  readonly onFailure: (error: MirrorError, nextMs: number) => void;
}

/** Dials a peer over and over while there is no link, at all its addresses in turn, with growing pauses. */
export class Dialler {
  readonly #parts: DiallerParts;
  readonly #stop = new AbortController();
  #wake: () => void = () => {};
  #addresses: readonly Address[];
  #failures = 0;
  readonly #running: Promise<void>;

  constructor(parts: DiallerParts) {
    this.#parts = parts;
    this.#addresses = parts.addresses;
    this.#running = this.#run();
  }

  /** Something shows that the peer or the network is back: try now, and begin the pauses anew. */
  kick(): void {
    this.#failures = 0;
    this.#wake();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock } = this.#parts;
    const stopped = this.#stop.signal;
    while (!stopped.aborted) {
      await Promise.race([this.#parts.needed(), aborted(stopped)]);
      if (stopped.aborted) return;
      const begun = clock.monotonic();
      try {
        const connection = await this.#dial(stopped);
        if (stopped.aborted) return connection.close();
        await this.#parts.adopt(connection);
        if (clock.monotonic() - begun >= GOOD_LINK_MS) this.#failures = 0;
        this.#failures++;
        await this.#pause(this.#delayMs());
      } catch (error) {
        if (stopped.aborted) return;
        this.#failures++;
        const delayMs = this.#delayMs();
        const reason = error instanceof MirrorError
          ? error
          : new MirrorError("unreachable", messageOf(error), { cause: error });
        this.#parts.onFailure(reason, clock.now() + delayMs);
        await this.#pause(delayMs);
      }
    }
  }

  /** A connection at the first address that gives one. @throws {MirrorError} what kept all of them from it. */
  async #dial(stopped: AbortSignal): Promise<Connection> {
    const { network, expect } = this.#parts;
    const failures: MirrorError[] = [];
    for (const address of [...this.#addresses]) {
      try {
        const connection = await network.dial(address, expect, stopped);
        this.#addresses = [address, ...this.#addresses.filter((other) => other !== address)];
        return connection;
      } catch (error) {
        if (stopped.aborted || !(error instanceof MirrorError)) throw error;
        failures.push(error);
      }
    }
    if (failures.length === 1) throw failures[0];
    // Somebody else who answers tells more than that nobody does.
    const { code } = failures.find((failure) => failure.code !== "unreachable") ?? failures[0]!;
    throw new MirrorError(code, failures.map(({ message }) => message).join("; "), { cause: failures[0] });
  }

  #delayMs(): number {
    return retryDelayMs(DIAL_BACKOFF, this.#failures, this.#parts.random.unit());
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.after(delayMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
      if (this.#stop.signal.aborted) this.#wake();
    });
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
