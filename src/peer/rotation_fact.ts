/** The fact by which a change of identity is asked for, and under which it goes on. */
export const ROTATION_FACT = "rotation";

/** What is under {@linkcode ROTATION_FACT}. */
export interface RotationFact {
  /** Of the next identity: once it is the present one, the change is done. */
  readonly fingerprint: string;
  /** Take the next identity at once, whoever has not taken it yet. */
  readonly now: boolean;
}

/** Reads it; `null` when nothing is there. */
export function readRotationFact(fact: unknown): RotationFact | null {
  if (typeof fact !== "object" || fact === null) return null;
  const { fingerprint, now } = fact as Partial<Record<keyof RotationFact, unknown>>;
  return typeof fingerprint === "string" ? { fingerprint, now: now === true } : null;
}
