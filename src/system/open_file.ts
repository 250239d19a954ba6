import { Buffer } from "node:buffer";
import { closeSync, fstatSync, read, readSync, type Stats } from "node:fs";
import type { FileStat } from "../domain/observation.ts";
import { FileError, type ReadHandle, type WriteHandle } from "../domain/ports.ts";
import { toFileError } from "./file_errors.ts";

/**
 * Up to this many bytes a read or write is done at once, on the control thread: it costs less than asking another thread.
 * Anything longer goes to the runtime's thread pool. A write may have to wait until the system has put earlier ones on the disk.
 */
const READ_AT_ONCE_BYTES = 256 * 1024;
const WRITE_AT_ONCE_BYTES = 64 * 1024;
/** So many zeros in a row are not written but left out, as a hole that takes no room on most disks. */
const HOLE_BYTES = 64 * 1024;
const ZEROS = new Uint8Array(HOLE_BYTES);

/** The three permission bits that let somebody execute a file. */
const EXECUTE_BITS = 0o111;

/** The mode of a file after its executable bit was set or taken away. */
export function withExecutable(mode: number, executable: boolean): number {
  const bits = mode & 0o7777;
  // For whoever may read it, and for the owner in any case: the owner's bit is the one that is observed.
  return executable ? bits | 0o100 | ((bits & 0o444) >> 2) : bits & ~EXECUTE_BITS;
}

/** Reads a stat of `node:fs`. */
export function fromNodeStat(stat: Stats): FileStat {
  const kind = stat.isFile()
    ? "file"
    : stat.isDirectory()
    ? "folder"
    : stat.isSymbolicLink()
    ? "symlink"
    : "special";
  return {
    kind,
    sizeBytes: stat.size,
    // Not `mtime`, which is a millisecond off before 1970.
    mtimeMs: Math.floor(stat.mtimeMs),
    ctimeMs: Math.floor(stat.ctimeMs),
    inode: stat.ino,
    device: stat.dev,
    executable: Deno.build.os === "windows" ? null : kind === "file" && (stat.mode & 0o100) !== 0,
  };
}

/** Reads a stat of Deno's own. */
export function fromDenoStat(info: Deno.FileInfo): FileStat {
  const kind = info.isSymlink ? "symlink" : info.isDirectory ? "folder" : info.isFile ? "file" : "special";
  return {
    kind,
    sizeBytes: info.size,
    mtimeMs: timeOf(info.mtime),
    ctimeMs: timeOf(info.ctime ?? null),
    inode: info.ino ?? 0,
    device: info.dev,
    executable: Deno.build.os === "windows" || info.mode === null
      ? null
      : kind === "file" && (info.mode & 0o100) !== 0,
  };
}

/** 0 for a time that a `Date` cannot hold: the next look gives the same. */
function timeOf(date: Date | null): number {
  const ms = date?.getTime() ?? 0;
  return Number.isNaN(ms) ? 0 : ms;
}

/**
 * A file that is read at any place. Closing waits for what is under way on the thread pool: the system gives a closed descriptor's
 * number to the next file at once, and a late read would get that file's content.
 */
export class OpenForReading implements ReadHandle {
  readonly opened: FileStat;
  readonly #fd: number;
  readonly #shown: string;
  #busy = 0;
  #closed = false;

  /** @param opened What `fd` is, looked at when it was opened. */
  constructor(fd: number, shown: string, opened: FileStat) {
    this.#fd = fd;
    this.#shown = shown;
    this.opened = opened;
  }

  /** The descriptor, for a call that ends before anything else can happen. */
  #open(verb: string): number {
    if (this.#closed) throw new FileError("io", `cannot ${verb} ${this.#shown}: it was closed`);
    return this.#fd;
  }

  async readAt(into: Uint8Array, offset: number): Promise<number> {
    let done = 0;
    while (done < into.length) {
      const count = await this.#readSome(into, done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  #readSome(into: Uint8Array, from: number, offset: number): number | Promise<number> {
    const length = into.length - from;
    if (length > READ_AT_ONCE_BYTES) return this.#readPooled(into, from, length, offset);
    try {
      return readSync(this.#open("read"), into, from, length, offset);
    } catch (error) {
      throw toFileError(error, "read", this.#shown);
    }
  }

  async #readPooled(into: Uint8Array, from: number, length: number, offset: number): Promise<number> {
    const fd = this.#open("read");
    this.#busy++;
    try {
      return await new Promise<number>((resolve, reject) =>
        read(
          fd,
          asBuffer(into),
          from,
          length,
          offset,
          (error, count) => error ? reject(error) : resolve(count ?? 0),
        )
      );
    } catch (error) {
      throw toFileError(error, "read", this.#shown);
    } finally {
      if (--this.#busy === 0 && this.#closed) closeSync(fd);
    }
  }

  stat(): Promise<FileStat> {
    try {
      return Promise.resolve(fromNodeStat(fstatSync(this.#open("look at"))));
    } catch (error) {
      return Promise.reject(toFileError(error, "look at", this.#shown));
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#busy === 0) closeSync(this.#fd);
  }
}

/**
 * A new file that is written from its start. On `Deno.FsFile`, whose flush costs this thread a third of what that of `node:fs`
 * does, and whose times are right before 1970 too.
 */
export class OpenForWriting implements WriteHandle {
  readonly #file: Deno.FsFile;
  readonly #shown: string;
  /** Where it lies, for what cannot be done by descriptor. */
  readonly #at: string;
  /** Where the next write goes: the file's size. */
  #sizeBytes = 0;
  #busy = 0;
  #closed = false;

  constructor(file: Deno.FsFile, shown: string, at: string) {
    this.#file = file;
    this.#shown = shown;
    this.#at = at;
  }

  #open(verb: string): Deno.FsFile {
    if (this.#closed) throw new FileError("io", `cannot ${verb} ${this.#shown}: it was closed`);
    return this.#file;
  }

  /** Runs a call on the thread pool; a close waits for it. */
  async #pooled<T>(verb: string, call: (file: Deno.FsFile) => Promise<T>): Promise<T> {
    const file = this.#open(verb);
    this.#busy++;
    try {
      return await call(file);
    } catch (error) {
      throw toFileError(error, verb, this.#shown);
    } finally {
      if (--this.#busy === 0 && this.#closed) file.close();
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const hole = isHole(bytes, done);
      let end = done;
      do end = Math.min(bytes.length, end + HOLE_BYTES); while (
        end < bytes.length && isHole(bytes, end) === hole
      );
      if (hole) this.#setSize("write to", this.#sizeBytes + end - done);
      else await this.#writeAll(bytes.subarray(done, end));
      done = end;
    }
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const count = await this.#writeSome(bytes.subarray(done));
      this.#sizeBytes += count;
      done += count;
    }
  }

  #writeSome(bytes: Uint8Array): number | Promise<number> {
    if (bytes.length > WRITE_AT_ONCE_BYTES) return this.#pooled("write to", (file) => file.write(bytes));
    try {
      return this.#open("write to").writeSync(bytes);
    } catch (error) {
      throw toFileError(error, "write to", this.#shown);
    }
  }

  cutTo(sizeBytes: number): void {
    this.#setSize("shorten", sizeBytes);
  }

  /** What is added reads as zeros. */
  #setSize(verb: string, sizeBytes: number): void {
    try {
      const file = this.#open(verb);
      file.truncateSync(sizeBytes);
      file.seekSync(sizeBytes, Deno.SeekMode.Start);
      this.#sizeBytes = sizeBytes;
    } catch (error) {
      throw toFileError(error, verb, this.#shown);
    }
  }

  stat(): Promise<FileStat> {
    try {
      return Promise.resolve(fromDenoStat(this.#open("look at").statSync()));
    } catch (error) {
      return Promise.reject(toFileError(error, "look at", this.#shown));
    }
  }

  setTimes(mtimeMs: number): void {
    try {
      this.#open("set the time of").utimeSync(new Date(mtimeMs), new Date(mtimeMs));
    } catch (error) {
      throw toFileError(error, "set the time of", this.#shown);
    }
  }

  setExecutable(executable: boolean): void {
    if (Deno.build.os === "windows") return;
    try {
      const mode = this.#open("change the mode of").statSync().mode ?? 0o644;
      const wanted = withExecutable(mode, executable);
      if (wanted !== (mode & 0o7777)) Deno.chmodSync(this.#at, wanted);
    } catch (error) {
      throw toFileError(error, "change the mode of", this.#shown);
    }
  }

  flush(): Promise<void> {
    return this.#pooled("write to", (file) => file.sync());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#busy === 0) this.#file.close();
  }
}

/** The same bytes, as the type that `node:fs` asks for. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Whether as many zeros as a hole has begin at `from`. What is not zeros is seen by its ends, but for one block in thousands. */
function isHole(bytes: Uint8Array, from: number): boolean {
  const end = from + HOLE_BYTES;
  if (end > bytes.length || bytes[from] !== 0 || bytes[end - 1] !== 0) return false;
  return Buffer.compare(ZEROS, bytes.subarray(from, end)) === 0;
}
