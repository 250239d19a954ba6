import type { PeerEvent } from "../domain/events.ts";
import type { RunStatus } from "../domain/status.ts";
import type { Notice } from "./notice.ts";

/** From here on a peer has been away for long. */
export const LONG_MS = 3_600_000;
/** A peer that is away is given so long after the start to come, before anything is said. */
const GRACE_MS = 120_000;
/** A full disk that was not full for this long is something new: it has room for a moment now and then. */
const FORGET_MS = 1_800_000;
/** Conflicts that come within this time are one notice. */
const GATHER_MS = 5_000;
/** Paths that one notice names. */
const MAX_PATHS = 3;

const GUARD = "deletion_guard";
const AWAY = "away:";

/** The problems that a person has to do something about, by their code. */
const PROBLEMS: Readonly<Record<string, string>> = {
  [GUARD]: "Deletions wait for you",
  no_space: "The disk is full",
  peer_no_space: "The other computer's disk is full",
};

/** What was said, by what it was about, and when that was last seen to be so: kept over restarts. */
export type Said = Readonly<Record<string, number>>;

/**
 * Decides what is worth a notice. What goes on is said once: a problem until it is gone, a peer's absence until it is back, a
 * conflict copy for good. Knows no clock and shows nothing.
 */
export class Notices {
  readonly #startedMs: number;
  /** When each peer was last linked, `null` when it never was. */
  readonly #seenMs: Map<string, number | null>;
  /** How long a peer was away that has come back and is not in sync yet. */
  readonly #backAfterMs = new Map<string, number>();
  readonly #said: Map<string, number>;
  #conflicts: { readonly path: string; readonly atMs: number }[] = [];
  #identities: Notice[] = [];

  /**
   * @param nowMs Wall time in milliseconds of UTC, here and below.
   * @param lastSeenMs By the peers' names, as they are known before any is linked.
   */
  constructor(nowMs: number, said: Said, lastSeenMs: ReadonlyMap<string, number | null>) {
    this.#startedMs = nowMs;
    this.#said = new Map(Object.entries(said));
    this.#seenMs = new Map(lastSeenMs);
  }

  /** What has been said. */
  get said(): Said {
    return Object.fromEntries(this.#said);
  }

  /** When each peer was last linked. */
  get lastSeenMs(): Readonly<Record<string, number | null>> {
    return Object.fromEntries(this.#seenMs);
  }

  /** Takes notice of an event; what comes of it is in what {@linkcode look} gives. */
  tell({ kind, message, path }: PeerEvent, nowMs: number): void {
    if (kind === "conflict" && path !== undefined) this.#conflicts.push({ path, atMs: nowMs });
    if (kind === "identity") {
      this.#identities.push({ title: "Certificate renewed", text: `${message}.` });
    }
  }

  /** What is to be said now. `last`: nothing is looked at later, so nothing is gathered any more. */
  look(status: RunStatus, nowMs: number, last = false): Notice[] {
    this.#forget(status, nowMs);
    const found = [
      ...this.#identities,
      ...this.#conflict(nowMs, last),
      ...this.#problems(status, nowMs),
      ...status.peers.flatMap((peer) => this.#peer(peer, nowMs)),
    ];
    this.#identities = [];
    return found;
  }

  /** What is over can be said again when it is so again. An absence is over when its peer is linked. */
  #forget({ problems }: RunStatus, nowMs: number): void {
    const present = new Set(problems.map(({ code, sinceMs }) => problemKey(code, sinceMs)));
    for (const [key, seenMs] of this.#said) {
      if (key.startsWith(AWAY) || present.has(key)) continue;
      if (key.startsWith(GUARD) || nowMs - seenMs > FORGET_MS) this.#said.delete(key);
    }
  }

  #conflict(nowMs: number, last: boolean): Notice[] {
    const first = this.#conflicts[0];
    if (first === undefined || (!last && nowMs - first.atMs < GATHER_MS)) return [];
    const paths = [...new Set(this.#conflicts.map(({ path }) => path))];
    this.#conflicts = [];
    const more = paths.length > MAX_PATHS ? ` and ${paths.length - MAX_PATHS} more` : "";
    return [{
      title: paths.length === 1 ? "A file was changed on both sides" : "Files were changed on both sides",
      text: `Your own version was kept under another name: ${paths.slice(0, MAX_PATHS).join(", ")}${more}.`,
    }];
  }

  #problems({ problems }: RunStatus, nowMs: number): Notice[] {
    return problems.flatMap(({ code, message, sinceMs }) => {
      const title = PROBLEMS[code];
      return title !== undefined && this.#isNew(problemKey(code, sinceMs), nowMs)
        ? [{ title, text: `${message}.` }]
        : [];
    });
  }

  #peer({ name, link, inSync }: RunStatus["peers"][number], nowMs: number): Notice[] {
    const seenMs = this.#seenMs.get(name) ?? null;
    const awayMs = seenMs === null ? 0 : nowMs - seenMs;
    const key = AWAY + name;
    if (link !== "up") {
      if (awayMs < LONG_MS || nowMs - this.#startedMs < GRACE_MS || !this.#isNew(key, nowMs)) return [];
      return [{
        title: `${name} has been away for ${showHours(awayMs)}`,
        text: "What changes here waits for it. Is it on, and connected?",
      }];
    }
    this.#seenMs.set(name, nowMs);
    this.#said.delete(key);
    if (awayMs >= LONG_MS) this.#backAfterMs.set(name, awayMs);
    const backAfterMs = this.#backAfterMs.get(name);
    if (backAfterMs === undefined || !inSync) return [];
    this.#backAfterMs.delete(name);
    return [{
      title: `Back in sync with ${name}`,
      text: `After ${showHours(backAfterMs)}, everything that was changed here is on ${name}.`,
    }];
  }

  /** Whether this was not so before, as far as anybody was told; from now on it is. */
  #isNew(key: string, nowMs: number): boolean {
    const isNew = !this.#said.has(key);
    this.#said.set(key, nowMs);
    return isNew;
  }
}

/** Two guards are two things; a full disk is one, however often something does not fit. */
function problemKey(code: string, sinceMs: number): string {
  return code === GUARD ? `${code}:${sinceMs}` : code;
}

function showHours(ms: number): string {
  const hours = Math.floor(ms / 3_600_000);
  if (hours < 48) return hours === 1 ? "an hour" : `${hours} hours`;
  return `${Math.floor(hours / 24)} days`;
}
