import type { PairName } from "./report.ts";
import type { Wire } from "./wire.ts";

/** Two programs that keep a folder the same, as the bench drives them; the sender's side first. */
export interface Pair {
  readonly name: PairName;
  /** The folder that is sent. */
  readonly watched: string;
  /** The folder that mirrors it. */
  readonly synced: string;
  /** Process ids while both run. */
  pids(): { readonly sender: number; readonly receiver: number };
  startReceiver(): Promise<void>;
  /** Ends the receiver with SIGKILL; it can be started again. */
  killReceiver(): Promise<void>;
  startSender(): Promise<void>;
  /** Returns once both run and are connected, with nothing left to do. */
  linked(): Promise<void>;
  /** Whatever makes the program notice a change at once, where it can be told. */
  nudge(): Promise<void>;
  /** Whether the program itself says that nothing is left to send; `null` when it does not tell. */
  settled(): Promise<boolean | null>;
  /** @throws {Error} when one of the two has ended by itself. */
  checkAlive(): void;
  stop(): Promise<void>;
}

/** Makes a fresh pair in a new folder, neither side running yet; with a wire, its connections go through that. */
export type MakePair = (folder: string, wire: Wire | null) => Promise<Pair>;
