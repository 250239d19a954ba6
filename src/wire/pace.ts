/** Decides when the next bytes may go. */
export interface Pace {
  readonly bytesPerSecond: number;
  /** The most bytes that should go at once. */
  readonly sliceBytes: number;
  /** Whether something may go at once, with nobody waiting before. */
  readonly isOpen: boolean;
  /** Calls `go` once when something may go, perhaps at once; the returned function gives up waiting. */
  wait(go: () => void): () => void;
  /** So many bytes have gone, or are about to. Also for those that did not wait. */
  took(bytes: number): void;
}
