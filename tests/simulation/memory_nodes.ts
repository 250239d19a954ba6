import type { FileStat } from "../../src/domain/observation.ts";

/** What of a file survives a loss of power for certain. */
export interface DurableFile {
  readonly content: Uint8Array;
  readonly mtimeMs: number;
  readonly executable: boolean;
}

export interface FileNode {
  readonly kind: "file";
  readonly inode: number;
  /** Never changed in place: a write makes another array, so what was durable stays what it was. */
  content: Uint8Array;
  mtimeMs: number;
  ctimeMs: number;
  executable: boolean;
  links: number;
  /** `null` while nothing of it was flushed. */
  durable: DurableFile | null;
}

export interface FolderNode {
  readonly kind: "folder";
  readonly inode: number;
  readonly entries: Map<string, Node>;
  /** The entries that survive a loss of power for certain. */
  durable: Map<string, Node>;
  mtimeMs: number;
  ctimeMs: number;
}

export type Node = FileNode | FolderNode;

/** One change of one folder's entries. */
export interface Edit {
  readonly folder: FolderNode;
  readonly name: string;
  readonly node: Node | null;
}

export function isDurable(file: FileNode): boolean {
  const { durable } = file;
  return durable !== null && durable.content === file.content && durable.mtimeMs === file.mtimeMs &&
    durable.executable === file.executable;
}

export function statOf(node: Node, device: number): FileStat {
  const { kind, inode, mtimeMs, ctimeMs } = node;
  return {
    kind,
    sizeBytes: kind === "file" ? node.content.length : 4096,
    mtimeMs,
    ctimeMs,
    inode,
    device,
    executable: kind === "file" && node.executable,
  };
}
