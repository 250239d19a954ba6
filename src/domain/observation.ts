import type { RelativePath } from "./relative_path.ts";

/** What travels: files with content, and folders. */
export type Kind = "file" | "folder";

/**
 * What one look at a path showed, as the system tells it. Times are in milliseconds of UTC; the runtime gives ctime in whole
 * seconds only. `inode` and `device` are 0 where the system has none.
 */
export interface FileStat {
  readonly kind: Kind | "symlink" | "special";
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly inode: number;
  readonly device: number;
  /** The owner's executable bit; `null` where the system has none (Windows). */
  readonly executable: boolean | null;
}

/** What a peer can hold of a path: the state that is sent, acknowledged and compared. */
export interface PathState {
  readonly kind: Kind;
  /** 0 for folders. */
  readonly sizeBytes: number;
  /** Milliseconds of UTC; 0 for folders, whose times do not travel. */
  readonly mtimeMs: number;
  readonly executable: boolean;
  /** SHA-256 in lower-case hex; `""` for folders. */
  readonly hash: string;
}

/** Why an observation is kept although the path cannot be followed at present. Such a path is neither sent nor deleted. */
export type Held = "ignored" | "unknown";

/** What a scan or the watcher last saw of one path, as it is kept in the table `observed`. */
export interface Observation {
  /** The path as it travels, in NFC. */
  readonly path: RelativePath;
  /** The path as the disk has it; differs from `path` only in Unicode form. */
  readonly diskPath: string;
  readonly kind: Kind;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly inode: number;
  readonly device: number;
  readonly executable: boolean;
  /** SHA-256 of the content that belongs to exactly this stat; `null` until it was read. `""` for folders. */
  readonly hash: string | null;
  /** Read so soon after its last change that another change could hide behind the same stat: to be hashed once more. */
  readonly provisional: boolean;
  readonly held: Held | null;
}

/** A file whose content was read less than this after its mtime or ctime is provisional. */
export const PROVISIONAL_MS = 2000;

/** Whether two looks at a path show the same file, unchanged as far as a stat can tell. */
export function sameStat(
  a: Pick<FileStat, "kind" | "sizeBytes" | "mtimeMs" | "ctimeMs" | "inode" | "device">,
  b: Pick<FileStat, "kind" | "sizeBytes" | "mtimeMs" | "ctimeMs" | "inode" | "device">,
): boolean {
  if (a.kind !== b.kind || a.inode !== b.inode || a.device !== b.device) return false;
  if (a.kind === "folder") return true; // a folder's times tell of its entries, which are observed by themselves
  return a.sizeBytes === b.sizeBytes && a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs;
}

/** Whether a content hash taken at `hashedAtMs` could be blind to a later write of the same size. */
export function isProvisional(stat: Pick<FileStat, "mtimeMs" | "ctimeMs">, hashedAtMs: number): boolean {
  // A time in the future (a clock that was set back) says nothing about when the next write can hide: look again too.
  return hashedAtMs - Math.max(stat.mtimeMs, stat.ctimeMs) < PROVISIONAL_MS;
}

/** The state that a peer should hold for an observation, or `null` while its content was not read. */
export function stateOf(o: Observation): PathState | null {
  if (o.kind === "folder") return FOLDER_STATE;
  if (o.hash === null) return null;
  return { kind: "file", sizeBytes: o.sizeBytes, mtimeMs: o.mtimeMs, executable: o.executable, hash: o.hash };
}

/** The one state that a folder has. */
export const FOLDER_STATE: PathState = {
  kind: "folder",
  sizeBytes: 0,
  mtimeMs: 0,
  executable: false,
  hash: "",
};

/**
 * What a peer has of a file when an operation went out to it and no answer has come: any version, or nothing. It is the same as no
 * state that a file can have, so there is always something to be sent.
 */
export const UNKNOWN_FILE: PathState = {
  kind: "file",
  sizeBytes: 0,
  mtimeMs: 0,
  executable: false,
  hash: "",
};

/** Whether a state is {@linkcode UNKNOWN_FILE}. */
export function isUnknown({ kind, hash }: PathState): boolean {
  return kind === "file" && hash === "";
}

/** Whether two states are the same for a peer. */
export function sameState(a: PathState, b: PathState): boolean {
  return a.kind === b.kind && a.hash === b.hash && a.sizeBytes === b.sizeBytes && a.mtimeMs === b.mtimeMs &&
    a.executable === b.executable;
}
