import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { clearTimeout, setTimeout } from "node:timers";

const CHECK_MS = 1_000;
/** So many heartbeats in a row that nothing is heard of mean that the watcher is stuck. */
const MISSED = 2;
/** The same where a pipe is known to be: each time it was freed the watcher opens it again, for the event of that. */
const CHECK_WITH_PIPES_MS = 40;
const MISSED_WITH_PIPES = 1;
/** So many, although known pipes were opened: it waits in another one. */
const MISSED_AT_ALL = 8;
/** So often in a row no pipe was found in which it waits: then that has no name any more, and nobody can open its other end. */
const SEARCHES = 3;
/** What tidies up temporary files must not take ours for forgotten: it gets a new date this often. */
const BEATS_PER_DATE = 12_000;

/**
 * Frees the runtime's watcher from named pipes. On Linux `Deno.watchFs` opens a path that was made (Deno 2.9.6), and opening a
 * pipe waits until somebody opens its other end: until then no event comes for anything. Worse, whoever writes into the pipe would
 * write to us. So the watcher watches a temporary file too, which is opened and closed again and again (nothing is written to it):
 * when no event comes of that, nor of anything else, the other end of the pipes below the root that have a reader waiting is
 * opened, without writing, until the watcher is through with its events. (What the thread waits for could be read in `/proc`, but that needs all of Deno's
 * permissions.)
 */
export class PipeWatchdog {
  /** The file to be watched beside the root. */
  readonly heartbeat: string;
  readonly #root: string;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #heard = true;
  /** Whether the heartbeat itself was heard, and so everything before it. */
  #heardBeat = false;
  #missed = 0;
  #isClosed = false;
  #beats = 0;
  /** Searches in a row that have found no pipe to be freed from, while nothing was heard. */
  #vain = 0;
  /** Called when it cannot be freed. */
  onStuck: () => void = () => {};
  /** Where pipes were when the watcher was last seen stuck. */
  #pipes: string[] = [];
  /** Their ends that are open, so that the watcher need not wait. */
  readonly #released: number[] = [];
  readonly #held: number[] = [];

  private constructor(root: string, heartbeat: string) {
    this.#root = root;
    this.heartbeat = heartbeat;
    this.#checkLater();
  }

  /** One for the watcher of a root; `null` where none is needed, or there is no place for its file. */
  static start(root: string): PipeWatchdog | null {
    if (Deno.build.os !== "linux") return null;
    try {
      return new PipeWatchdog(
        root,
        Deno.realPathSync(Deno.makeTempFileSync({ prefix: "mirrorsync-watcher-" })),
      );
    } catch {
      return null; // then scans find what a stuck watcher misses
    }
  }

  /** Takes notice of an event, of whatever; tells whether it is the heartbeat, which is nobody else's business. */
  hears(event: Deno.FsEvent): boolean {
    this.#heard = true;
    // That events were lost is told of all paths that are watched.
    const isBeat = event.flag !== "rescan" && event.paths.includes(this.heartbeat);
    this.#heardBeat ||= isBeat;
    return isBeat;
  }

  /**
   * Sees to it that the watcher is not held up while it is being closed, as closing waits for it: the pipes that it may wait in get
   * somebody at their other end, until {@linkcode close}.
   *
   * @returns Whether it can be closed. Not when nothing was heard of it for a second or two, and no pipe is there that it could wait in.
   */
  hold(): boolean {
    const pipes = this.#heard ? this.#pipes : findPipes(this.#root);
    if (!this.#heard && this.#missed > 0 && pipes.length === 0 && this.#released.length === 0) return false;
    this.#held.push(...pipes.flatMap((path) => openPipe(path, constants.O_RDWR)));
    return true;
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const end of [...this.#held.splice(0), ...this.#released.splice(0)]) closeSync(end);
    try {
      Deno.removeSync(this.heartbeat);
    } catch {
      // Somebody has tidied it up.
    }
  }

  #checkLater(): void {
    if (this.#isClosed) return;
    const afterMs = this.#pipes.length > 0 ? CHECK_WITH_PIPES_MS : CHECK_MS;
    this.#timer = setTimeout(() => void this.#check().finally(() => this.#checkLater()), afterMs);
    this.#timer.unref();
  }

  async #check(): Promise<void> {
    this.#missed = this.#heard ? 0 : this.#missed + 1;
    if (this.#heard) this.#vain = 0;
    this.#heard = false;
    const isThrough = this.#heardBeat;
    this.#heardBeat = false;
    if (!this.#beat()) return this.close();
    if (this.#released.length > 0 && isThrough) {
      for (const pipe of this.#released.splice(0)) closeSync(pipe);
    } else if (this.#missed >= (this.#pipes.length > 0 ? MISSED_WITH_PIPES : MISSED)) {
      this.#releaseKnown();
      if (this.#released.length === 0 || this.#missed >= MISSED_AT_ALL) await this.#releaseAll();
    }
  }

  /** Frees the watcher if it waits where it has waited before. */
  #releaseKnown(): void {
    if (this.#released.length === 0) this.#released.push(...this.#pipes.flatMap(releasePipe));
  }

  async #releaseAll(): Promise<void> {
    const pipes: string[] = [];
    for await (const path of pipesBelow(this.#root)) {
      pipes.push(path);
      this.#released.push(...releasePipe(path));
    }
    this.#pipes = pipes;
    this.#vain = this.#released.length > 0 || this.#heard ? 0 : this.#vain + 1;
    if (this.#vain >= SEARCHES) this.onStuck();
    else this.#missed = 0;
    if (this.#isClosed) { for (const pipe of this.#released.splice(0)) closeSync(pipe); }
  }

  /** Whether there is still something to beat on; without, scans find what a stuck watcher misses. */
  #beat(): boolean {
    try {
      closeSync(openSync(this.heartbeat, constants.O_WRONLY));
      if (++this.#beats % BEATS_PER_DATE === 0) Deno.utimeSync(this.heartbeat, new Date(), new Date());
      return true;
    } catch {
      return false;
    }
  }
}

async function* pipesBelow(folder: string): AsyncIterable<string> {
  let entries: Deno.DirEntry[];
  try {
    entries = await Array.fromAsync(Deno.readDir(folder));
  } catch {
    return; // Gone or unreadable: the watcher cannot be waiting in there.
  }
  for (const entry of entries) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* pipesBelow(path);
    else if (isPipe(entry, path)) yield path;
  }
}

/** The same at once. */
function findPipes(folder: string): string[] {
  let entries: Deno.DirEntry[];
  try {
    entries = [...Deno.readDirSync(folder)];
  } catch {
    return [];
  }
  return entries.flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory ? findPipes(path) : isPipe(entry, path) ? [path] : [];
  });
}

function isPipe(entry: Deno.DirEntry, path: string): boolean {
  if (entry.isFile || entry.isSymlink) return false;
  try {
    return Deno.lstatSync(path).isFifo === true;
  } catch {
    return false; // it is gone
  }
}

/**
 * Lets the watcher go on if it waits there: gives the open end, which is to be kept until the watcher is through with what is told of
 * the pipe, as it opens it each time.
 */
function releasePipe(path: string): number[] {
  // Fails at once (ENXIO) when nobody is waiting to read.
  return openPipe(path, constants.O_WRONLY);
}

/** The open end of a pipe, or nothing: what is not to be opened is not the one in which the watcher waits. */
function openPipe(path: string, way: number): number[] {
  let end: number;
  try {
    // A file may have taken the pipe's name, which nobody waits for: opening it frees nobody.
    if (Deno.lstatSync(path).isFifo !== true) return [];
    end = openSync(path, way | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch {
    return [];
  }
  if (fstatSync(end).isFIFO()) return [end];
  closeSync(end);
  return [];
}
