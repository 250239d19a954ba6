import { closeSync, constants, openSync } from "node:fs";
import { clearInterval, setInterval } from "node:timers";

const CHECK_MS = 300;
/** So many heartbeats in a row that nothing is heard of mean that the watcher is stuck. */
const MISSED = 2;
/** What tidies up temporary files must not take ours for forgotten: it gets a new date this often. */
const BEATS_PER_DATE = 12_000;

/**
 * Frees the runtime's watcher from named pipes. On Linux `Deno.watchFs` opens a path that was made (Deno 2.9.6), and opening a
 * pipe waits until somebody opens its other end: until then no event comes for anything. Worse, whoever writes into the pipe would
 * write to us. So the watcher watches a temporary file too, which is opened and closed again and again (nothing is written to it):
 * when no event comes of that, nor of anything else, the other end of the pipes below the root that have a reader waiting is
 * opened for a moment, without writing. (What the thread waits for could be read in `/proc`, but that needs all of Deno's
 * permissions.)
 */
export class PipeWatchdog {
  /** The file to be watched beside the root. */
  readonly heartbeat: string;
  readonly #root: string;
  readonly #timer: ReturnType<typeof setInterval>;
  #heard = true;
  #missed = 0;
  #beats = 0;
  #releasing = false;
  /** Where pipes were when the watcher was last seen stuck. */
  #pipes: string[] = [];
  readonly #held: number[] = [];

  private constructor(root: string, heartbeat: string) {
    this.#root = root;
    this.heartbeat = heartbeat;
    this.#timer = setInterval(() => this.#check(), CHECK_MS);
    this.#timer.unref();
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
    return event.paths.includes(this.heartbeat);
  }

  /**
   * Sees to it that the watcher is not held up while it is being closed, as closing waits for it: the pipes that it may wait in get
   * somebody at their other end, until {@linkcode close}.
   */
  hold(): void {
    const pipes = this.#heard ? this.#pipes : findPipes(this.#root);
    for (const path of pipes) {
      try {
        this.#held.push(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
      } catch {
        // It is gone, or may not be opened: then the watcher is not in there.
      }
    }
  }

  close(): void {
    clearInterval(this.#timer);
    for (const held of this.#held.splice(0)) closeSync(held);
    try {
      Deno.removeSync(this.heartbeat);
    } catch {
      // Somebody has tidied it up.
    }
  }

  #check(): void {
    if (this.#releasing) return;
    this.#missed = this.#heard ? 0 : this.#missed + 1;
    this.#heard = false;
    if (!this.#beat()) return clearInterval(this.#timer);
    if (this.#missed < MISSED) return;
    this.#releasing = true;
    this.#release().finally(() => {
      this.#releasing = false;
      this.#heard = true; // what waited behind the pipe is on its way now
    });
  }

  async #release(): Promise<void> {
    this.#pipes = [];
    for await (const path of pipesBelow(this.#root)) {
      this.#pipes.push(path);
      releasePipe(path);
    }
  }

  /** Whether there is still something to beat on. */
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

function releasePipe(path: string): void {
  try {
    // Fails at once (ENXIO) when nobody is waiting to read.
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
  } catch {
    // Nobody waits there, or it may not be opened: then it is not the one.
  }
}
