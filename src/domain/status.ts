/** The state of one trusted peer as a running process sees it. */
export interface PeerLinkStatus {
  readonly name: string;
  readonly fingerprint: string;
  readonly address: string | null;
  readonly link: "up" | "connecting" | "down";
  /** `full` with a hello, `plain` without; `null` while there is no link. */
  readonly protocol: "full" | "plain" | null;
  readonly remoteAddress: string | null;
  /** Since when the link has been in this state, milliseconds of UTC. */
  readonly sinceMs: number;
  /** Why there is no link, in plain words. */
  readonly reason: string | null;
  readonly pending: {
    readonly waiting: number;
    readonly refused: number;
    /** Deletions that wait for `confirm`. */
    readonly held: number;
    readonly bytes: number;
  };
  /** By how much the peer's clock is ahead of this one's, in whole seconds; `null` when it is not known. */
  readonly clockAheadMs: number | null;
  /** Whether everything that is observed here was acknowledged by the peer (nothing pending, trees compared). */
  readonly inSync: boolean;
}

/** How far a file that is on its way has come, as those know it who move it. */
export interface TransferProgress {
  readonly direction: "sending" | "receiving";
  readonly peer: string;
  readonly path: string;
  readonly doneBytes: number;
  readonly sizeBytes: number;
  readonly startedMs: number;
}

/** A file that is on its way, and how fast it gets on. */
export interface TransferStatus extends TransferProgress {
  /** Bytes of the file a second, over the last few seconds; `null` while too little has been seen. */
  readonly bytesPerSecond: number | null;
  /** Milliseconds that are left at this rate; `null` while that is not known, or nothing moves. */
  readonly leftMs: number | null;
}

/** Paths that a peer does not have as they are here, for whatever reason. */
export function countLeft({ waiting, refused, held }: Omit<PeerLinkStatus["pending"], "bytes">): number {
  return waiting + refused + held;
}

/** Something that is wrong at present, with what to do. */
export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly sinceMs: number;
}

/** What a running peer tells of itself; kept in the table `facts` under `run` for the other commands to read. */
export interface RunStatus {
  readonly pid: number;
  readonly startedMs: number;
  readonly atMs: number;
  readonly name: string;
  readonly fingerprint: string;
  /** HOST:PORT that is really listened on. */
  readonly listen: string | null;
  readonly watched: string;
  readonly synced: string;
  readonly peers: readonly PeerLinkStatus[];
  readonly transfers: readonly TransferStatus[];
  /** Bytes a second that may be sent, and as many received; `null` without a limit. */
  readonly limitBytesPerSecond: number | null;
  /** Bytes on the wire in the last second, and since the start. */
  readonly rate: { readonly sentPerSecond: number; readonly receivedPerSecond: number };
  readonly total: {
    readonly sentBytes: number;
    readonly receivedBytes: number;
    readonly sent: number;
    readonly received: number;
  };
  readonly watcher: "watching" | "scanning" | "starting";
  readonly scan: {
    readonly running: boolean;
    readonly lastMs: number | null;
    readonly lastTookMs: number | null;
  };
  readonly skipped: number;
  /** The path that was sent or received last. */
  readonly lastPath: string | null;
  readonly problems: readonly Problem[];
}
