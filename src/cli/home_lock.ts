import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Home } from "./home.ts";

/** How often, and after what pause, a lock is asked for again: `status` holds it for a moment when it looks who has it. */
const ATTEMPTS = 10;
const PAUSE_MS = 50;

/** The lock of a home, held by the one process that runs it. The system lets go of it when that process ends, however it ends. */
export class HomeLock implements Disposable {
  readonly #file: Deno.FsFile;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** @throws {MirrorError} `home_in_use` naming the home and, when it is known, the process. */
  static async take(home: Home): Promise<HomeLock> {
    const file = await open(home);
    try {
      for (let attempt = 1; !await file.tryLock(true); attempt++) {
        if (attempt === ATTEMPTS) throw inUse(home);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
      await file.truncate();
      await file.write(new TextEncoder().encode(`${Deno.pid}\n`));
      return new HomeLock(file);
    } catch (cause) {
      file.close();
      if (cause instanceof MirrorError) throw cause;
      throw new MirrorError(
        "failed",
        `${home.lockPath} cannot be locked (${messageOf(cause)}): choose a home on a file system with locks`,
        { cause },
      );
    }
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** Who holds the lock of a home: nobody (`null`), or a process, whose id is `null` when it is not known. */
export async function lockHolder(home: Home): Promise<{ readonly pid: number | null } | null> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(home.lockPath, { read: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw new MirrorError("failed", `${home.lockPath} cannot be opened: ${messageOf(error)}`, {
      cause: error,
    });
  }
  using _file = file;
  return await file.tryLock(false) ? null : { pid: pidIn(home) };
}

async function open(home: Home): Promise<Deno.FsFile> {
  try {
    return await Deno.open(home.lockPath, { read: true, write: true, create: true, mode: 0o600 });
  } catch (cause) {
    throw new MirrorError("failed", `${home.lockPath} cannot be opened: ${messageOf(cause)}`, { cause });
  }
}

function pidIn(home: Home): number | null {
  try {
    const pid = Number.parseInt(Deno.readTextFileSync(home.lockPath), 10);
    return pid > 0 ? pid : null;
  } catch {
    return null; // Windows lets nobody read a locked file
  }
}

function inUse(home: Home): MirrorError {
  const pid = pidIn(home);
  return new MirrorError(
    "home_in_use",
    `the home ${home.directory} is in use by another MirrorSync${pid === null ? "" : ` (process ${pid})`}: ` +
      "stop that one first, or give this one a home of its own with --home",
  );
}
