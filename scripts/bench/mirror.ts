import type { ToolName } from "./report.ts";

/** What is done to the watched folder at once, prepared so that doing it takes next to no time. */
export interface Change {
  /** For messages. */
  readonly what: string;
  make(): void;
  /** Whether all of it is on the other side; cheap enough to be asked every few milliseconds. */
  arrived(): boolean;
}

/** Two folders that one tool keeps the same, whether it runs all the time or has to be called. */
export interface Mirror {
  readonly name: ToolName;
  /** Whether it notices changes by itself. */
  readonly live: boolean;
  /** The folder that is sent. */
  readonly watched: string;
  /** The folder that mirrors it. */
  readonly synced: string;
  /** Returns once it runs and is connected, with nothing left to do. */
  start(): Promise<void>;
  /** Makes a change and brings it to the other side: the milliseconds from the change, or from the call of the tool. */
  bring(change: Change): Promise<number>;
  /** The same, with the receiver killed as soon as `enough` says so, and started again. */
  bringCut(change: Change, enough: () => boolean): Promise<void>;
  /** Whether the tool itself says that nothing is left to do; `null` when it does not tell. */
  settled(): Promise<boolean | null>;
  /** Lets pass what a tool still does after a change. */
  rest(): Promise<void>;
  stop(): Promise<void>;
}
