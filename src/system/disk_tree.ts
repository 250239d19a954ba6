import { closeSync, constants, fstatSync, fsync, openSync, readSync, statfs } from "node:fs";
import { isAbsolute } from "node:path";
import { setImmediate } from "node:timers";
import type { FileStat } from "../domain/observation.ts";
import {
  FileError,
  type FileErrorCode,
  type FileTree,
  type FolderEntry,
  type ReadHandle,
  type TreeWatcher,
  type WriteHandle,
} from "../domain/ports.ts";
import { isBelow, joinPath } from "../domain/relative_path.ts";
import { DiskWatcher } from "./disk_watcher.ts";
import { shownPath, systemCodeOf, toFileError } from "./file_errors.ts";
import { fromDenoStat, fromNodeStat, OpenForReading, OpenForWriting, withExecutable } from "./open_file.ts";

const WINDOWS = Deno.build.os === "windows";

/** Never through a symlink, never waiting for the other end of a pipe. Windows has neither flag. */
const READ_FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** How long a listing may keep the control thread before others get their turn. */
const LIST_SLICE_MS = 5;

/** A folder that is somewhere else on the disk than its path in the tree says. */
export interface Mount {
  readonly path: string;
  /** Absolute. */
  readonly at: string;
}

/**
 * A folder of the disk. Short calls are made at once, on the control thread: asking the runtime's thread pool costs several times
 * more than a stat, a rename or a small write takes. Flushes, long reads and long writes go to the pool.
 *
 * The root itself may be a symlink to a folder; nothing below it is followed in the last component. There is no `openat` here, so a
 * folder above a path that is swapped for a symlink between a caller's look and its call is followed: that race remains.
 */
export class DiskTree implements FileTree {
  readonly root: string;
  readonly #prefix: string;
  readonly #mount: Mount | null;

  /**
   * @param root An absolute path; the folder need not be there yet.
   * @param mount A folder elsewhere that counts as one of this tree. A listing of the folder above does not name it.
   * @throws {FileError} when the path is not absolute.
   */
  constructor(root: string, mount: Mount | null = null) {
    this.#mount = mount;
    if (!isAbsolute(root)) throw new FileError("io", `the folder ${shownPath(root)} is not an absolute path`);
    const bare = root.replace(WINDOWS ? /[\\/]+$/ : /\/+$/, "");
    // "/" and "C:\" are the roots that need their separator.
    this.root = bare === "" || /^[A-Za-z]:$/.test(bare) ? `${bare}/` : bare;
    this.#prefix = this.root.endsWith("/") ? this.root : `${this.root}/`;
  }

  #at(path: string): string {
    const mount = this.#mount;
    if (mount !== null && path.startsWith(mount.path) && (path === mount.path || isBelow(path, mount.path))) {
      return mount.at + path.slice(mount.path.length);
    }
    return path === "" ? this.root : this.#prefix + path;
  }

  #shown(path: string): string {
    return path === "" ? this.root : path;
  }

  /** Runs a short call; what it throws becomes a {@linkcode FileError}. */
  #call<T>(
    verb: string,
    path: string,
    work: (at: string) => T,
    overrides?: Readonly<Record<string, FileErrorCode>>,
  ): Promise<T> {
    return attempt(() => this.#callNow(verb, path, work, overrides));
  }

  #callNow<T>(
    verb: string,
    path: string,
    work: (at: string) => T,
    overrides?: Readonly<Record<string, FileErrorCode>>,
  ): T {
    try {
      return work(this.#at(path));
    } catch (error) {
      throw toFileError(error, verb, this.#shown(path), overrides);
    }
  }

  lstat(path: string): Promise<FileStat | null> {
    return this.#call("look at", path, (at) => this.#look(path, at));
  }

  #look(path: string, at: string): FileStat | null {
    try {
      return fromDenoStat(path === "" ? Deno.statSync(at) : Deno.lstatSync(at));
    } catch (error) {
      const code = systemCodeOf(error);
      if (code === "ENOENT" || code === "ENOTDIR") return null;
      throw error;
    }
  }

  async list(path: string): Promise<FolderEntry[]> {
    const names = new Set<string>();
    try {
      // A name that is not UTF-8 comes with U+FFFD in it and may look like another one.
      for (const { name } of Deno.readDirSync(this.#at(path))) names.add(name);
    } catch (error) {
      throw toFileError(error, "list", this.#shown(path));
    }
    const entries: FolderEntry[] = [];
    let sliceStart = performance.now();
    for (const name of names) {
      entries.push(this.#entry(path, name));
      if (entries.length % 64 === 0 && performance.now() - sliceStart > LIST_SLICE_MS) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        sliceStart = performance.now();
      }
    }
    return entries;
  }

  #entry(folder: string, name: string): FolderEntry {
    const path = joinPath(folder, name);
    try {
      return { name, stat: this.#look(path, this.#at(path)), error: null };
    } catch (error) {
      return { name, stat: null, error: toFileError(error, "look at", path) };
    }
  }

  openRead(path: string): Promise<ReadHandle> {
    return this.#call("read", path, (at) => {
      const fd = this.#openToRead(path, at);
      try {
        const stat = fromNodeStat(fstatSync(fd));
        this.#mustBeFile(path, stat);
        return new OpenForReading(fd, this.#shown(path), stat);
      } catch (error) {
        closeSync(fd);
        throw error;
      }
    });
  }

  #openToRead(path: string, at: string): number {
    if (WINDOWS) this.#mustBeFile(path, this.#look(path, at));
    try {
      return openSync(at, READ_FLAGS);
    } catch (error) {
      // Sockets, and folders on some systems, fail in their own ways.
      const stat = this.#look(path, at);
      if (stat !== null) this.#mustBeFile(path, stat);
      throw error;
    }
  }

  readSmall(path: string, sizeBytes: number): Promise<{ content: Uint8Array; stat: FileStat }> {
    return this.#call("read", path, (at) => {
      const fd = this.#openToRead(path, at);
      try {
        const into = new Uint8Array(sizeBytes);
        let filled = 0;
        try {
          for (let count = -1; count !== 0 && filled < sizeBytes; filled += count) {
            count = readSync(fd, into, filled, sizeBytes - filled, filled);
          }
        } catch (error) {
          // What is no file fails in its own ways.
          this.#mustBeFile(path, fromNodeStat(fstatSync(fd)));
          throw error;
        }
        // Not of the descriptor: that costs this thread as much as opening and reading a small file. Another file may have the
        // name by now; then its ctime says so, or it is so young that it is read once more. Windows tells no ctime.
        const stat = WINDOWS ? fromNodeStat(fstatSync(fd)) : this.#look(path, at);
        if (stat === null) {
          throw new FileError("not_found", `cannot read ${shownPath(this.#shown(path))}: it is gone`);
        }
        this.#mustBeFile(path, stat);
        return { content: filled === sizeBytes ? into : into.subarray(0, filled), stat };
      } finally {
        closeSync(fd);
      }
    });
  }

  #mustBeFile(path: string, stat: FileStat | null): void {
    const shown = shownPath(this.#shown(path));
    switch (stat?.kind) {
      case "folder":
        throw new FileError("is_folder", `cannot read ${shown}: it is a folder`);
      case "symlink":
        throw new FileError("symlink", `cannot read ${shown}: it is a symbolic link`);
      case "special":
        throw new FileError(
          "unsupported",
          `cannot read ${shown}: it is not a file but a pipe, socket or device`,
        );
    }
  }

  create(path: string): Promise<WriteHandle> {
    return this.#call(
      "create",
      path,
      (at) => new OpenForWriting(Deno.openSync(at, { write: true, createNew: true }), this.#shown(path), at),
    );
  }

  reopen(path: string): Promise<WriteHandle> {
    return this.#call("write to", path, (at) => {
      const stat = this.#look(path, at);
      this.#mustBeFile(path, stat);
      const file = Deno.openSync(at, { write: true });
      const handle = new OpenForWriting(file, this.#shown(path), at);
      handle.cutTo(stat?.sizeBytes ?? 0);
      return handle;
    });
  }

  link(from: string, to: string): Promise<void> {
    return attempt(() => this.#link(from, to));
  }

  #link(from: string, to: string): void {
    this.#callNow("link", to, (at) => {
      try {
        Deno.linkSync(this.#at(from), at);
      } catch (error) {
        if (systemCodeOf(error) === "EPERM" && this.#look(from, this.#at(from))?.kind === "folder") {
          throw new FileError("is_folder", `cannot link ${shownPath(from)}: it is a folder`);
        }
        throw error;
      }
    }, { EPERM: "unsupported", ENOTSUP: "unsupported" });
  }

  rename(from: string, to: string): Promise<void> {
    return attempt(() => this.#rename(from, to));
  }

  #rename(from: string, to: string): void {
    this.#callNow("rename", `${from} to ${to}`, () => Deno.renameSync(this.#at(from), this.#at(to)));
  }

  replace(from: string, to: string, aside: string): Promise<void> {
    return attempt(() => {
      this.#link(to, aside);
      this.#rename(from, to);
    });
  }

  unlink(path: string): Promise<void> {
    return this.#call("delete", path, (at) => {
      // Deno's remove, and its node:fs unlink too, would take an empty folder as well.
      if (Deno.lstatSync(at).isDirectory) {
        throw new FileError("is_folder", `cannot delete ${shownPath(path)}: it is a folder`);
      }
      Deno.removeSync(at);
    });
  }

  mkdir(path: string): Promise<void> {
    return this.#call("make the folder", path, (at) => Deno.mkdirSync(at));
  }

  rmdir(path: string): Promise<void> {
    return this.#call("remove the folder", path, (at) => {
      if (!Deno.lstatSync(at).isDirectory) {
        throw new FileError("not_folder", `cannot remove the folder ${shownPath(path)}: it is not a folder`);
      }
      Deno.removeSync(at);
    });
  }

  setTimes(path: string, mtimeMs: number): Promise<void> {
    return this.#call("set the time of", path, (at) => {
      this.#mustNotBeLink(path, at);
      // Deno's, not node:fs's, which is a millisecond off for half of all times and refuses those before 1970.
      Deno.utimeSync(at, new Date(mtimeMs), new Date(mtimeMs));
    });
  }

  setExecutable(path: string, executable: boolean): Promise<void> {
    return this.#call("change the mode of", path, (at) => {
      if (WINDOWS) return;
      const mode = this.#mustNotBeLink(path, at).mode ?? 0o644;
      const wanted = withExecutable(mode, executable);
      if (wanted !== (mode & 0o7777)) Deno.chmodSync(at, wanted);
    });
  }

  copyMode(from: string, to: string): Promise<void> {
    return this.#call("change the mode of", to, (at) => {
      if (WINDOWS) return;
      const { mode, uid, gid } = this.#mustNotBeLink(from, this.#at(from));
      const now = this.#mustNotBeLink(to, at);
      let bits = 0o7777;
      if (uid !== now.uid || gid !== now.gid) {
        try {
          Deno.chownSync(at, uid, gid);
        } catch (error) {
          // Only root may give files away. What stays ours must not run as us because it ran as its owner.
          if (!(error instanceof Deno.errors.PermissionDenied || systemCodeOf(error) === "EPERM")) {
            throw error;
          }
          bits = 0o777;
        }
      }
      // After the owner: giving a file away takes some bits off.
      if (mode !== null) Deno.chmodSync(at, mode & bits);
    });
  }

  #mustNotBeLink(path: string, at: string): Deno.FileInfo {
    const info = Deno.lstatSync(at);
    if (path !== "" && info.isSymlink) {
      throw new FileError("symlink", `cannot change ${shownPath(path)}: it is a symbolic link`);
    }
    return info;
  }

  async flushFile(path: string): Promise<void> {
    const fd = await this.#call("flush", path, (at) => this.#openToFlush(path, at));
    await this.#flush(fd, path);
  }

  #openToFlush(path: string, at: string): number {
    const flags = READ_FLAGS & ~constants.O_RDONLY;
    let fd: number;
    try {
      // Windows flushes only what is open for writing; elsewhere any way of opening will do.
      fd = openSync(at, flags | (WINDOWS ? constants.O_RDWR : constants.O_RDONLY));
    } catch (error) {
      if (systemCodeOf(error) !== "EACCES") throw error;
      fd = openSync(at, flags | constants.O_WRONLY);
    }
    try {
      this.#mustBeFile(path, fromNodeStat(fstatSync(fd)));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return fd;
  }

  async flushFolder(path: string): Promise<void> {
    if (WINDOWS) return;
    const flags = constants.O_RDONLY | (constants.O_DIRECTORY ?? 0) |
      (path === "" ? 0 : constants.O_NOFOLLOW ?? 0);
    await this.#flush(await this.#call("flush", path, (at) => openSync(at, flags)), path);
  }

  /** Flushes on the thread pool, and closes. */
  async #flush(fd: number, path: string): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => fsync(fd, (error) => error ? reject(error) : resolve()));
    } catch (error) {
      // Some network file systems have no such call; then there is nothing that could be done.
      if (["EINVAL", "ENOTSUP", "EBADF"].includes(systemCodeOf(error))) return;
      throw toFileError(error, "flush", this.#shown(path));
    } finally {
      closeSync(fd);
    }
  }

  freeBytes(): Promise<number | null> {
    // What is thrown at once says that the program may not ask, which is no answer.
    return new Promise((resolve) =>
      statfs(this.root, (error, stats) => resolve(error ? null : stats.bavail * stats.bsize))
    );
  }

  /** @throws {FileError} when the root is missing or not a folder, or something below it cannot be watched. */
  watch(): TreeWatcher {
    let root: FileStat | null;
    try {
      root = this.#look("", this.root);
    } catch (error) {
      throw toFileError(error, "watch", this.root);
    }
    if (root === null) {
      throw new FileError(
        "not_found",
        `the folder ${shownPath(this.root)} is not there: make it again, or mount the disk that holds it`,
      );
    }
    if (root.kind !== "folder") {
      throw new FileError(
        "not_folder",
        `${shownPath(this.root)} is not a folder: move it away and make the folder again`,
      );
    }
    return new DiskWatcher(this.root);
  }
}

/** Does something at once; what it throws is the promise's. */
function attempt<T>(work: () => T): Promise<T> {
  try {
    return Promise.resolve(work());
  } catch (error) {
    return Promise.reject(error);
  }
}
