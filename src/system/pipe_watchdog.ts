import { closeSync, constants, openSync } from "node:fs";
import { clearInterval, setInterval } from "node:timers";

const CHECK_MS = 1000;
/** The call in which the thread waits: `openat` on x86-64 and on arm64. */
const OPENAT = new Set(["257", "56"]);
const WATCHER_THREADS = "notify-rs";
const TASKS = "/proc/self/task";

/**
 * Frees the runtime's watcher from named pipes. On Linux `Deno.watchFs` opens a path that was made (Deno 2.9.6), and opening a
 * pipe waits until somebody opens its other end: until then no event comes for anything. Worse, whoever writes into the pipe would
 * write to us. So: when the watcher's thread is seen waiting in the same `openat` twice, the other end of the pipes below the root
 * that have a reader waiting is opened for a moment, without writing.
 */
export class PipeWatchdog {
  readonly #root: string;
  readonly #timer: ReturnType<typeof setInterval>;
  #waitedIn = new Map<string, string>();
  #releasing = false;

  constructor(root: string) {
    this.#root = root;
    this.#timer = setInterval(() => this.#check(), CHECK_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    if (this.#releasing) return;
    const before = this.#waitedIn;
    this.#waitedIn = waitingThreads();
    const stuck = [...this.#waitedIn].some(([thread, call]) => before.get(thread) === call);
    if (!stuck) return;
    this.#releasing = true;
    releasePipes(this.#root).finally(() => this.#releasing = false);
  }
}

/** The watcher's threads that are in an `openat`, with its arguments. */
function waitingThreads(): Map<string, string> {
  const waiting = new Map<string, string>();
  try {
    for (const { name } of Deno.readDirSync(TASKS)) {
      if (!Deno.readTextFileSync(`${TASKS}/${name}/comm`).startsWith(WATCHER_THREADS)) continue;
      const call = Deno.readTextFileSync(`${TASKS}/${name}/syscall`);
      if (OPENAT.has(call.split(" ", 1)[0]!)) waiting.set(name, call);
    }
  } catch {
    // A thread that has just ended, or no /proc: then there is nothing to be seen, and scans find what the watcher misses.
  }
  return waiting;
}

async function releasePipes(folder: string): Promise<void> {
  let entries: Deno.DirEntry[];
  try {
    entries = await Array.fromAsync(Deno.readDir(folder));
  } catch {
    return; // Gone or unreadable: the watcher cannot be waiting in there.
  }
  for (const entry of entries) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) await releasePipes(path);
    else if (!entry.isFile && !entry.isSymlink) releasePipe(path);
  }
}

function releasePipe(path: string): void {
  try {
    if (Deno.lstatSync(path).isFifo !== true) return;
    // Fails at once (ENXIO) when nobody is waiting to read.
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
  } catch {
    // Nobody waits there, or it may not be opened: then it is not the one.
  }
}
