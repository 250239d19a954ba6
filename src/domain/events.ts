/** Something that happened in a running peer, for the person or the log file that follows it. */
export interface PeerEvent {
  readonly kind:
    | "listening"
    | "paired"
    | "identity"
    | "link_up"
    | "link_down"
    | "sent"
    | "received"
    | "refused"
    | "conflict"
    | "skipped"
    | "watcher"
    | "scan"
    | "in_sync"
    | "problem";
  /** `detail` is shown only when asked for (single files); `warning` needs a person's attention some time. */
  readonly level: "detail" | "info" | "warning";
  /** One line in plain words: what, where, and what to do when something is to be done. */
  readonly message: string;
  /** The path concerned. */
  readonly path?: string;
  /** The peer's local name. */
  readonly peer?: string;
}

/** Takes events; must not throw. */
export type EventSink = (event: PeerEvent) => void;
