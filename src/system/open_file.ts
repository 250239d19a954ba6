import { Buffer } from "node:buffer";
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsync,
  read,
  readSync,
  type Stats,
  write,
  writeSync,
} from "node:fs";
import type { FileStat } from "../domain/observation.ts";
import { FileError, type ReadHandle, type WriteHandle } from "../domain/ports.ts";
import { toFileError } from "./file_errors.ts";

/**
 * Up to this many bytes a read or write is done at once, on the control thread: it costs less than asking another thread.
 * Anything longer goes to the runtime's thread pool.
 */
const AT_ONCE_BYTES = 256 * 1024;

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

/**
 * A file descriptor with its path for messages. Closing waits for what is under way on the thread pool: the system gives a closed
 * descriptor's number to the next file at once, and a late read would get that file's content.
 */
abstract class OpenFile {
  readonly #fd: number;
  protected readonly shown: string;
  #busy = 0;
  #closed = false;

  constructor(fd: number, shown: string) {
    this.#fd = fd;
    this.shown = shown;
  }

  /** The descriptor, for a call that ends before anything else can happen. */
  protected fd(verb: string): number {
    if (this.#closed) throw new FileError("io", `cannot ${verb} ${this.shown}: it was closed`);
    return this.#fd;
  }

  /** Runs a call on the thread pool. */
  protected async pooled<T>(
    verb: string,
    call: (fd: number, done: (error: Error | null, value?: T) => void) => void,
  ): Promise<T> {
    const fd = this.fd(verb);
    this.#busy++;
    try {
      return await new Promise<T>((resolve, reject) =>
        call(fd, (error, value) => error === null ? resolve(value as T) : reject(error))
      );
    } catch (error) {
      throw toFileError(error, verb, this.shown);
    } finally {
      if (--this.#busy === 0 && this.#closed) closeSync(this.#fd);
    }
  }

  stat(): Promise<FileStat> {
    try {
      return Promise.resolve(fromNodeStat(fstatSync(this.fd("look at"))));
    } catch (error) {
      return Promise.reject(toFileError(error, "look at", this.shown));
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#busy === 0) closeSync(this.#fd);
  }
}

/** A file that is read at any place. */
export class OpenForReading extends OpenFile implements ReadHandle {
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
    if (length > AT_ONCE_BYTES) {
      return this.pooled<number>(
        "read",
        (fd, done) => read(fd, asBuffer(into), from, length, offset, done),
      );
    }
    try {
      return readSync(this.fd("read"), into, from, length, offset);
    } catch (error) {
      throw toFileError(error, "read", this.shown);
    }
  }
}

/** A new file that is written from its start. */
export class OpenForWriting extends OpenFile implements WriteHandle {
  readonly #at: string;

  /** @param at Where it lies, for what cannot be done by descriptor. */
  constructor(fd: number, shown: string, at: string) {
    super(fd, shown);
    this.#at = at;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) done += await this.#writeSome(bytes, done);
  }

  #writeSome(bytes: Uint8Array, from: number): number | Promise<number> {
    const length = bytes.length - from;
    if (length > AT_ONCE_BYTES) {
      return this.pooled<number>(
        "write to",
        (fd, done) => write(fd, asBuffer(bytes), from, length, null, done),
      );
    }
    try {
      return writeSync(this.fd("write to"), bytes, from, length, null);
    } catch (error) {
      throw toFileError(error, "write to", this.shown);
    }
  }

  setTimes(mtimeMs: number): void {
    try {
      this.fd("set the time of");
      // By path: `futimes` of node:fs is a millisecond off for half of all times and refuses those before 1970.
      Deno.utimeSync(this.#at, new Date(mtimeMs), new Date(mtimeMs));
    } catch (error) {
      throw toFileError(error, "set the time of", this.shown);
    }
  }

  setExecutable(executable: boolean): void {
    if (Deno.build.os === "windows") return;
    try {
      const fd = this.fd("change the mode of");
      const mode = fstatSync(fd).mode;
      const wanted = withExecutable(mode, executable);
      if (wanted !== (mode & 0o7777)) fchmodSync(fd, wanted);
    } catch (error) {
      throw toFileError(error, "change the mode of", this.shown);
    }
  }

  flush(): Promise<void> {
    return this.pooled<void>("write to", (fd, done) => fsync(fd, done));
  }
}

/** The same bytes, as the type that `node:fs` asks for. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
