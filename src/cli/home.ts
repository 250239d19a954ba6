import { join, posix, win32 } from "node:path";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import { tooOpen } from "../identity/private_file.ts";
import { Store } from "../store/store.ts";
import { quoteForShell } from "./text.ts";
import { userPath } from "./user_path.ts";

/** What decides where the home is. */
export interface HomeQuestion {
  /** The value of `--home`, `null` without it. */
  readonly flag: string | null;
  readonly env: (name: string) => string | undefined;
  readonly os: typeof Deno.build.os;
  readonly cwd: string;
}

/**
 * Where the home is, as an absolute path: `--home`, else `MIRRORSYNC_HOME`, else a folder in the OS's place for such data.
 *
 * @throws {MirrorError} `wrong_usage` when the system does not say where that is.
 */
export function homeDirectory({ flag, env, os, cwd }: HomeQuestion): string {
  const { isAbsolute } = os === "windows" ? win32 : posix;
  if (flag === "") throw new MirrorError("wrong_usage", "--home needs a folder: it was given an empty text");
  const chosen = flag ?? (env("MIRRORSYNC_HOME") || null);
  if (chosen !== null) return userPath({ path: chosen, base: cwd, env, os });
  const user = env(os === "windows" ? "USERPROFILE" : "HOME") || null;
  if (os === "windows") {
    const local = env("LOCALAPPDATA") || (user === null ? null : win32.join(user, "AppData", "Local"));
    if (local !== null) return win32.join(local, "MirrorSync");
  } else if (os === "darwin") {
    if (user !== null) return posix.join(user, "Library", "Application Support", "MirrorSync");
  } else {
    // The XDG specification: a relative path here is invalid and to be ignored.
    const data = env("XDG_DATA_HOME") ?? "";
    if (isAbsolute(data)) return posix.join(data, "mirrorsync");
    if (user !== null) return posix.join(user, ".local", "share", "mirrorsync");
  }
  throw new MirrorError(
    "wrong_usage",
    "this system does not say where a program keeps its data: give --home DIR, or set MIRRORSYNC_HOME",
  );
}

/** A home: its folder, and how to name it on a command line that is shown to the user. */
export class Home {
  /** Absolute. */
  readonly directory: string;
  /** ` --home DIR` when the user has to give it again, else `""`. */
  readonly flag: string;

  constructor(directory: string, isDefault: boolean) {
    this.directory = directory;
    this.flag = isDefault ? "" : ` --home ${quoteForShell(directory)}`;
  }

  /** A command on this home, as the user would type it. */
  command(command: string): string {
    return `mirrorsync${this.flag} ${command}`;
  }

  get certificatePath(): string {
    return join(this.directory, "cert.pem");
  }
  get keyPath(): string {
    return join(this.directory, "key.pem");
  }
  get configPath(): string {
    return join(this.directory, "mirrorsync.toml");
  }
  get databasePath(): string {
    return join(this.directory, "mirrorsync.db");
  }
  /** Where what a peer deletes or replaces goes first. */
  get trashPath(): string {
    return join(this.directory, "trash");
  }
  get lockPath(): string {
    return join(this.directory, "lock");
  }
  /** The secret of whoever is logged in. */
  get sessionPath(): string {
    return join(this.directory, "session");
  }
  /** The token of the service, in a home with users. */
  get serviceTokenPath(): string {
    return join(this.directory, "service.token");
  }
  /** Made by the owner to show that the home's files are theirs: see `user reset`. */
  get resetPath(): string {
    return join(this.directory, "reset-users");
  }

  /**
   * Refuses a home that is not this user's own, or that others can change or read more of than they should. One that is not there
   * is for its user to make.
   *
   * @throws {MirrorError} `unsafe_permissions` with the command that mends it.
   */
  async mustBePrivate(): Promise<void> {
    const folder = await look(this.directory);
    if (folder === null) return;
    const uid = Deno.build.os === "windows" ? null : Deno.uid();
    if (uid !== null && folder.uid !== null && folder.uid !== uid) {
      throw new MirrorError(
        "unsafe_permissions",
        `the home ${this.directory} belongs to the user with the number ${folder.uid}, and this is ${uid}: run it as that ` +
          "user, or choose a home of your own with --home DIR",
      );
    }
    const files: readonly (readonly [path: string, forbidden: number, mend: string])[] = [
      [this.directory, 0o022, "700"],
      [this.databasePath, 0o077, "600"],
      [this.sessionPath, 0o077, "600"],
      [this.configPath, 0o022, "600"],
      [this.certificatePath, 0o022, "644"],
    ];
    for (const [path, forbidden, mend] of files) {
      const info = path === this.directory ? folder : await look(path);
      const mode = info === null ? null : tooOpen(info, forbidden);
      if (mode === null) continue;
      const what = forbidden === 0o022 ? "change" : "read";
      throw new MirrorError(
        "unsafe_permissions",
        `other users of this computer can ${what} ${path} (its mode is ${mode}): run  chmod ${mend} ${
          quoteForShell(path)
        }`,
      );
    }
  }

  /**
   * Makes the folder, for its owner alone, when it is not there.
   *
   * @throws {MirrorError} `failed` naming the folder.
   */
  async make(): Promise<void> {
    try {
      await Deno.mkdir(this.directory, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw new MirrorError(
        "failed",
        `the home ${this.directory} cannot be made (${messageOf(cause)}): choose another with --home`,
        { cause },
      );
    }
  }

  /** Whether it has an identity, which is what `init` makes first. */
  async isInitialised(): Promise<boolean> {
    return await exists(this.certificatePath) || await exists(this.keyPath);
  }

  /** @throws {MirrorError} `failed` when `init` was never run here. */
  async mustBeInitialised(): Promise<void> {
    if (!await this.isInitialised()) throw this.notInitialised();
  }

  /** What to say when `init` was never run here. */
  notInitialised(): MirrorError {
    return new MirrorError(
      "failed",
      `there is no MirrorSync in ${this.directory} yet: make one with  ${this.command("init")}`,
    );
  }

  /**
   * Opens the database, making it when it is not there, readable for its owner alone (its log names every file).
   *
   * @throws {MirrorError} `damaged_database`, `newer_database`, or `failed` naming the file.
   */
  openStore(): Store {
    try {
      Deno.openSync(this.databasePath, { write: true, createNew: true, mode: 0o600 }).close();
    } catch (cause) {
      if (!(cause instanceof Deno.errors.AlreadyExists)) {
        throw new MirrorError(
          "failed",
          `the database ${this.databasePath} cannot be made (${messageOf(cause)})`,
          { cause },
        );
      }
    }
    return new Store(this.databasePath);
  }
}

/**
 * What is at `path`, symlinks followed; `null` when nothing is.
 *
 * @throws {MirrorError} `failed` when the system does not tell.
 */
async function look(path: string): Promise<Deno.FileInfo | null> {
  try {
    return await Deno.stat(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.NotADirectory) return null;
    throw new MirrorError("failed", `${path} cannot be looked at: ${messageOf(cause)}`, { cause });
  }
}

/**
 * Whether something is at `path`, of whatever kind.
 *
 * @throws {MirrorError} `failed` when the system does not tell.
 */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.NotADirectory) return false;
    throw new MirrorError("failed", `${path} cannot be looked at: ${messageOf(cause)}`, { cause });
  }
}
