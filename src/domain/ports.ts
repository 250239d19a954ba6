import type { FileStat } from "./observation.ts";

/** Time, handed in so that a simulator can own it. */
export interface Clock {
  /** Wall time in milliseconds of UTC. It can jump. */
  now(): number;
  /** Milliseconds from an arbitrary start, never going back. */
  monotonic(): number;
  /** Runs `callback` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}

/** Randomness, handed in so that one seed decides a whole run. */
export interface Random {
  uuid(): string;
  /** A number in [0, 1). */
  unit(): number;
}

/** Why the file system refused. */
export type FileErrorCode =
  | "not_found"
  | "exists"
  | "not_empty"
  | "is_folder"
  | "not_folder"
  | "denied"
  | "no_space"
  | "cross_device"
  | "unsupported"
  | "name_too_long"
  | "symlink"
  | "io";

/** A refusal of the file system: `code` for programs, the message names the path. */
export class FileError extends Error {
  readonly code: FileErrorCode;

  constructor(code: FileErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "FileError";
    this.code = code;
  }
}

/** A file that is open for reading. The file is the one that was opened even if the path changes. */
export interface ReadHandle {
  /** What it was when it was opened. */
  readonly opened: FileStat;
  stat(): Promise<FileStat>;
  /** Fills `into` from `offset`; fewer bytes than asked only at the end of the file. */
  readAt(into: Uint8Array, offset: number): Promise<number>;
  close(): void;
}

/** A new file that is being written from its start to its end. */
export interface WriteHandle {
  /** Appends all of `bytes`. */
  write(bytes: Uint8Array): Promise<void>;
  /** Cuts the file to its first `sizeBytes` bytes; the next write follows them. */
  cutTo(sizeBytes: number): void;
  setTimes(mtimeMs: number): void;
  setExecutable(executable: boolean): void;
  /** Returns once content and metadata are durable. */
  flush(): Promise<void>;
  stat(): Promise<FileStat>;
  close(): void;
}

/** One name in a folder. `stat` is `null` when the name could not be looked at (it vanished, is not UTF-8, or `error` says why). */
export interface FolderEntry {
  readonly name: string;
  readonly stat: FileStat | null;
  readonly error: FileError | null;
}

/** What the watcher tells. `paths` are relative to the root, `""` being the root; a hint, never the truth. */
export interface WatchEvent {
  /**
   * `closed`: a file that was open for writing was closed. `created`, `modified`, `removed`, `renamed` as they say.
   * `lost`: events were lost, everything is in doubt.
   */
  readonly kind: "created" | "modified" | "closed" | "removed" | "renamed" | "lost";
  readonly paths: readonly string[];
}

/** A running watcher of a tree. Iteration ends when it is closed and throws a {@linkcode FileError} when it broke. */
export interface TreeWatcher extends AsyncIterable<WatchEvent> {
  close(): void;
  /** Whether `closed` events are given on this system; without them settling relies on quiet. */
  readonly tellsClose: boolean;
}

/**
 * A folder and what lies below it. Every `path` is relative to the root, `/`-separated, as the disk has it; `""` is the root.
 * No method follows a symlink in the last component. All of them throw {@linkcode FileError}.
 */
export interface FileTree {
  /** The root as the user would name it, for messages. */
  readonly root: string;
  /** `null` when nothing is there (also when a component above is not a folder). */
  lstat(path: string): Promise<FileStat | null>;
  list(path: string): Promise<FolderEntry[]>;
  /** Throws `symlink` when the path is one, `is_folder` for a folder, `unsupported` for a special file (without blocking on it). */
  openRead(path: string): Promise<ReadHandle>;
  /**
   * Reads the first `sizeBytes` bytes of a file in one go (fewer where it is shorter), and looks at what has its path right after
   * that: one call for what a small file would take five for. The same refusals as {@linkcode openRead}.
   */
  readSmall(path: string, sizeBytes: number): Promise<{ content: Uint8Array; stat: FileStat }>;
  /** Makes a new file; throws `exists` when there is one. */
  create(path: string): Promise<WriteHandle>;
  /** Opens a file that is there, to be written on from its end. The same refusals as {@linkcode openRead}. */
  reopen(path: string): Promise<WriteHandle>;
  /** A second name for a file; throws `exists`, `cross_device`, or `unsupported` where the file system has no links. */
  link(from: string, to: string): Promise<void>;
  /** Moves, replacing a file at `to`. */
  rename(from: string, to: string): Promise<void>;
  /**
   * Gives the file at `to` a second name, `aside`, and moves `from` over it, with nothing of this process in between: what another
   * program puts at `to` after the link is lost. If only the rename fails, `aside` stays. Throws as both do.
   */
  replace(from: string, to: string, aside: string): Promise<void>;
  unlink(path: string): Promise<void>;
  mkdir(path: string): Promise<void>;
  rmdir(path: string): Promise<void>;
  setTimes(path: string, mtimeMs: number): Promise<void>;
  setExecutable(path: string, executable: boolean): Promise<void>;
  /** Gives a file the permissions of another one, and its owner where that is allowed (a no-op where there are none). */
  copyMode(from: string, to: string): Promise<void>;
  /** Makes content and times of a file that is there already durable. */
  flushFile(path: string): Promise<void>;
  /** Makes the entries of a folder durable (a no-op where the system has no such call). */
  flushFolder(path: string): Promise<void>;
  /** Bytes that an ordinary user can still write; `null` where the system does not tell. */
  freeBytes(): Promise<number | null>;
  watch(): TreeWatcher;
}

/** An ordered, authenticated byte stream to a peer. */
export interface Connection {
  /** SHA-256 of the peer's certificate, lower-case hex, checked before the connection was handed out. */
  readonly peerFingerprint: string;
  readonly remoteAddress: string;
  /** Whether this side dialled. */
  readonly dialled: boolean;
  /**
   * The next bytes in order, `null` at the end; they are the caller's own. Reads nothing ahead past a small bound: this is the
   * back-pressure.
   */
  read(): Promise<Uint8Array | null>;
  /** Resolves when the bytes were taken: until then the caller must not change them. */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends this direction; the other one stays open. */
  closeWrite(): Promise<void>;
  /** Ends both directions at once. Safe to call again. */
  close(): void;
}

/** HOST:PORT taken apart. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Listener {
  /** The address that is really listened on (the port is chosen by the system when 0 was asked for). */
  readonly address: Address;
  close(): void;
}

/** A connection on which this side has proved who it is, and the other side has not. */
export type UnprovenConnection = Pick<
  Connection,
  "remoteAddress" | "read" | "write" | "closeWrite" | "close"
>;

/** Where somebody who is not trusted yet may ask to become a peer. */
export interface PairingDoor {
  /** Whether anybody may ask at this moment. */
  isOpen(): boolean;
  /** Hears one who asks; resolves when all is said. Must not throw. */
  hear(connection: UnprovenConnection): Promise<void>;
}

/** Makes authenticated connections. */
export interface Network {
  /**
   * @param door Without one, and while it is closed, nobody is heard who is not trusted.
   * @throws MirrorError `port_in_use` and others. Every connection handed over is authenticated.
   */
  listen(
    address: Address,
    onConnection: (connection: Connection) => void,
    door?: PairingDoor | null,
  ): Promise<Listener>;
  /**
   * Dials a peer. With `expect` only the peer with that fingerprint is accepted, else any trusted one.
   * @throws MirrorError `unreachable` or `not_trusted`.
   */
  dial(address: Address, expect: string | null, signal: AbortSignal): Promise<Connection>;
}
