/** What is known of a live link when it must be decided which of two stays. */
export interface LinkFacts {
  /** Fingerprint of the side that dialled. */
  readonly diallerFingerprint: string;
  /** The random id of the peer's process, from its hello. */
  readonly peerProcess: string;
}

/**
 * Which of two live links to one peer stays; both sides come to the same answer.
 *
 * - Another process id means that the peer was restarted: the old link is dead, whatever it looks like.
 * - The same dialler twice means that the dialler has given up the old one.
 * - Else both sides dialled at once: the link dialled by the smaller fingerprint stays.
 */
export function linkThatStays(old: LinkFacts, fresh: LinkFacts): "old" | "fresh" {
  if (old.peerProcess !== fresh.peerProcess) return "fresh";
  if (old.diallerFingerprint === fresh.diallerFingerprint) return "fresh";
  return fresh.diallerFingerprint < old.diallerFingerprint ? "fresh" : "old";
}
