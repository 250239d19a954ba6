import { messageOf } from "../domain/mirror_error.ts";
import type { Clock } from "../domain/ports.ts";
import { formatFingerprint } from "../identity/certificate.ts";
import type { Refusal } from "../link/tls_listener.ts";
import type { Store } from "../store/store.ts";

/** Refusals of one host with one certificate are counted in one row for so long. */
const ROW_MS = 3_600_000;
/** How often what was counted is written down. */
const WRITE_MS = 60_000;
/** Rows that are begun in the time of one. What comes beyond is counted in one that stands for everybody else. */
const MAX_ROWS = 60;
const OTHERS = "many addresses";

interface Row {
  readonly number: number;
  readonly sinceMs: number;
  /** How often it happened since it was written down. */
  unwritten: number;
  lastMs: number;
}

/**
 * Writes into the audit trail who was refused in the handshake. Whoever floods the port makes a row an hour, and a write a minute;
 * whoever does it from many addresses makes few rows more.
 */
export class RefusalLog implements Disposable {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #onProblem: (message: string) => void;
  readonly #rows = new Map<string, Row>();
  #cancelWrite: (() => void) | null = null;

  /** @param onProblem Told when the database takes no row; nothing else depends on one. */
  constructor(store: Store, clock: Clock, onProblem: (message: string) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#onProblem = onProblem;
  }

  /** Records a refusal, or counts it. */
  note(refusal: Refusal): void {
    this.#guard(() => this.#note(refusal));
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#onProblem(`the audit trail could not be written: ${messageOf(error)}`);
    }
  }

  #note(refusal: Refusal): void {
    const nowMs = this.#clock.now();
    for (const [key, { sinceMs }] of this.#rows) {
      // In the order of their beginnings; a clock that was set back must not keep them for ever.
      if (Math.abs(nowMs - sinceMs) < ROW_MS) break;
      this.#write();
      this.#rows.delete(key);
    }
    const key = `${refusal.host} ${refusal.fingerprint ?? refusal.why}`;
    const row = this.#rows.get(key) ?? (this.#rows.size < MAX_ROWS ? null : this.#rows.get(OTHERS) ?? null);
    if (row === null) return this.#begin(this.#rows.size < MAX_ROWS ? key : OTHERS, refusal, nowMs);
    row.unwritten++;
    row.lastMs = nowMs;
    this.#cancelWrite ??= this.#clock.after(WRITE_MS, () => {
      this.#cancelWrite = null;
      this.#guard(() => this.#write());
    });
  }

  #begin(key: string, { host, fingerprint, why }: Refusal, nowMs: number): void {
    const shown = fingerprint === null ? "" : `; its fingerprint: ${formatFingerprint(fingerprint)}`;
    const [subject, detail] = key === OTHERS
      ? [OTHERS, "links of further strangers were refused"]
      : [host, `a link was refused: ${why}${shown}`];
    const number = this.#store.audit.record({ atMs: nowMs, kind: "peer_refused", subject, detail });
    this.#rows.set(key, { number, sinceMs: nowMs, unwritten: 0, lastMs: nowMs });
  }

  #write(): void {
    for (const row of this.#rows.values()) {
      if (row.unwritten === 0) continue;
      this.#store.audit.again(row.number, row.unwritten, row.lastMs);
      row.unwritten = 0;
    }
  }

  /** Writes down what was only counted. */
  [Symbol.dispose](): void {
    this.#cancelWrite?.();
    this.#cancelWrite = null;
    this.#guard(() => this.#write());
  }
}
