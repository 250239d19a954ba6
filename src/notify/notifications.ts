import type { PeerEvent } from "../domain/events.ts";
import { messageOf } from "../domain/mirror_error.ts";
import type { RunStatus } from "../domain/status.ts";
import type { Store } from "../store/store.ts";
import type { Notice } from "./notice.ts";
import { Notices, type Said } from "./notices.ts";

/** How often is looked what there is to say. */
const LOOK_MS = 2_000;
/** What is known is written down after this time, so that the next start knows it, however this one ends. */
const WRITE_MS = 60_000;
/** How long the end waits for notices that are on their way. */
const END_MS = 5_000;
/** Under these keys of `facts` is what was said, and when each peer was linked last. */
const SAID_FACT = "notified";
const SEEN_FACT = "notified/seen";

/** What {@linkcode Notifications} needs. */
export interface NotificationParts {
  readonly store: Store;
  /** Shows one. @throws {Error} saying why that is not possible. */
  readonly show: (notice: Notice) => Promise<void>;
  /** Takes one line about the first that could not be shown. */
  readonly onProblem: (message: string) => void;
}

/** Shows notices on the desktop while a peer runs. */
export class Notifications {
  readonly #parts: NotificationParts;
  readonly #notices: Notices;
  #status: (() => RunStatus) | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  #showing: Promise<void> = Promise.resolve();
  #written: string;
  #writtenMs = 0;
  #failed = false;

  /** To be made before any peer is linked: it reads when each was seen last. */
  constructor(parts: NotificationParts) {
    this.#parts = parts;
    const { facts, peers } = parts.store;
    const said = readTimes(facts.get(SAID_FACT));
    // The peer's row tells when a link came or went: a run that was cut off has left the later time here.
    const seen = readTimes(facts.get(SEEN_FACT));
    const lastSeen = peers.list().map(({ name, lastSeenMs }) =>
      [name, lastSeenMs === null ? null : Math.max(lastSeenMs, seen[name] ?? 0)] as const
    );
    this.#notices = new Notices(Date.now(), said, new Map(lastSeen));
    this.#written = Object.keys(said).join();
  }

  tell(event: PeerEvent): void {
    this.#notices.tell(event, Date.now());
  }

  /** From now on the state can be asked for. */
  follow(status: () => RunStatus): void {
    this.#status = status;
    this.#timer = setInterval(() => this.#look(false), LOOK_MS);
  }

  /** The last look, while the state can still be asked for; what is on its way is given a moment. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    this.#look(true);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, END_MS));
    await Promise.race([this.#showing, late]);
    clearTimeout(timer);
  }

  #look(last: boolean): void {
    if (this.#status === null) return;
    const nowMs = Date.now();
    for (const notice of this.#notices.look(this.#status(), nowMs, last)) this.#show(notice);
    const { said, lastSeenMs } = this.#notices;
    const keys = Object.keys(said).join();
    if (keys === this.#written && nowMs - this.#writtenMs < WRITE_MS) return;
    this.#parts.store.facts.set(SAID_FACT, said);
    this.#parts.store.facts.set(SEEN_FACT, lastSeenMs);
    this.#written = keys;
    this.#writtenMs = nowMs;
  }

  /** One after the other; that one cannot be shown is told once, and ends nothing. */
  #show(notice: Notice): void {
    this.#showing = this.#showing.then(() => this.#parts.show(notice)).catch((error) => {
      if (this.#failed) return;
      this.#failed = true;
      this.#parts.onProblem(
        `a notification (${notice.title}) could not be shown on the desktop: ${messageOf(error)}`,
      );
    });
  }
}

/** Times by name that an earlier run has left; none when they cannot be read. */
function readTimes(fact: unknown): Said {
  if (typeof fact !== "object" || fact === null) return {};
  return Object.fromEntries(
    Object.entries(fact).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
  );
}
