/**
 * A token bucket (J. S. Turner, "New Directions in Communications (or Which Way to the Information Age?)", IEEE Communications
 * Magazine 24(10), 1986) that may be overdrawn: whoever finds it not empty takes what it needs, and the next one waits until the
 * debt is paid. So nobody has to know how much he will take before he is let through, and over any time `t` no more than
 * `burst + rate × t + the last taking` goes through.
 */
export class TokenBucket {
  readonly bytesPerSecond: number;
  readonly burstBytes: number;
  /** Below zero it is debt. */
  #levelBytes: number;
  #atMs: number;

  /**
   * @param bytesPerSecond How fast it fills.
   * @param burstBytes How much it holds: what may be caught up after a rest.
   * @param nowMs Milliseconds of a clock that never goes back; all others that it is given are of the same one.
   */
  constructor(bytesPerSecond: number, burstBytes: number, nowMs: number) {
    this.bytesPerSecond = bytesPerSecond;
    this.burstBytes = burstBytes;
    this.#levelBytes = burstBytes;
    this.#atMs = nowMs;
  }

  /** Milliseconds until something may be taken; 0 when it may now. */
  waitMs(nowMs: number): number {
    this.#fill(nowMs);
    if (this.#levelBytes > 0) return 0;
    // At least one: a timer of less would only find the bucket as empty as before.
    return Math.max(1, Math.ceil(-this.#levelBytes * 1000 / this.bytesPerSecond));
  }

  /** Takes `bytes`, whether they are there or not. */
  take(bytes: number, nowMs: number): void {
    this.#fill(nowMs);
    this.#levelBytes -= bytes;
  }

  #fill(nowMs: number): void {
    const gained = Math.max(0, nowMs - this.#atMs) * this.bytesPerSecond / 1000;
    this.#levelBytes = Math.min(this.burstBytes, this.#levelBytes + gained);
    this.#atMs = Math.max(this.#atMs, nowMs);
  }
}
