import { Agenda } from "./agenda.ts";
import { Bursts } from "./burst.ts";

/** When a folder that was just made is listed again: events inside it get lost until the system watches it. */
const YOUNG_LOOKS_MS = [50, 250, 1000, 3000];
/** The look at which a folder that was moved here is scanned to any depth. */
const DEEP_LOOK_MS = 1000;
/** What is due so soon is done together. */
const JOIN_MS = 1;

/** A folder to be scanned. */
export interface FolderTask {
  readonly folder: string;
  readonly recursive: boolean;
}

interface Young {
  next: number;
  readonly since: number;
  readonly moved: boolean;
}

/** Which folders are to be listed again, and when. Folders are disk paths; times are of the monotonic clock, in milliseconds. */
export class FolderAgenda {
  /** Folders in which something is in doubt, and those of them to be scanned to any depth. */
  readonly #doubtful = new Agenda<string>();
  readonly #deep = new Set<string>();
  /** Folders that were just made: listed some more times, in case something was missed. */
  readonly #young = new Map<string, Young>();
  readonly #youngLooks = new Agenda<string>();
  readonly #bursts = new Bursts();

  /** Whether anything is in doubt; the precautions for young folders are not counted. */
  get isCertain(): boolean {
    return this.#doubtful.size === 0;
  }

  /** The earliest time at which something is due. */
  next(): number | null {
    const doubtful = this.#doubtful.next(), young = this.#youngLooks.next();
    return doubtful === null || (young !== null && young < doubtful) ? young : doubtful;
  }

  want(folder: string, recursive: boolean, at: number): void {
    if (recursive) this.#deep.add(folder);
    this.#doubtful.setEarlier(folder, at);
  }

  /** Counts an event in a folder: where many come at once, some may be lost. */
  countEvent(folder: string, now: number): void {
    const listAt = this.#bursts.count(folder, now);
    if (listAt !== null) this.#doubtful.set(folder, listAt);
  }

  /** A folder was made here, or moved here with all that is in it. */
  appeared(folder: string, moved: boolean, now: number): void {
    this.#young.set(folder, { next: 0, since: now, moved });
    this.#youngLooks.set(folder, now + YOUNG_LOOKS_MS[0]!);
  }

  /** Takes out what is due. */
  takeDue(now: number): FolderTask[] {
    const until = now + JOIN_MS;
    const due = new Set([...this.#doubtful.takeDue(until), ...this.#youngLooks.takeDue(until)]);
    return [...due].map((folder) => {
      this.#bursts.listed(folder);
      const deepLook = this.#advanceYoung(folder, until);
      return { folder, recursive: this.#deep.delete(folder) || deepLook };
    });
  }

  /** Sets the time of the next look at a young folder; tells whether the present one goes to any depth. */
  #advanceYoung(folder: string, until: number): boolean {
    const young = this.#young.get(folder);
    if (young === undefined) return false;
    let deep = false;
    // A look for another reason counts for those that are due by now.
    for (let delay = YOUNG_LOOKS_MS[young.next]; delay !== undefined; delay = YOUNG_LOOKS_MS[++young.next]) {
      if (young.since + delay > until) {
        this.#youngLooks.set(folder, young.since + delay);
        return deep;
      }
      deep ||= young.moved && delay === DEEP_LOOK_MS;
    }
    this.#young.delete(folder);
    this.#youngLooks.delete(folder);
    return deep;
  }
}
