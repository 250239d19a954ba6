import type { Random } from "../domain/ports.ts";

/** Randomness from the system; good enough for ids that nobody may guess. */
export class SystemRandom implements Random {
  uuid(): string {
    return crypto.randomUUID();
  }

  unit(): number {
    return crypto.getRandomValues(new Uint32Array(1))[0]! / 2 ** 32;
  }
}
