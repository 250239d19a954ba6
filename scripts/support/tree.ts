import { createHash } from "node:crypto";
import { join } from "node:path";
import { STAGING_FOLDER } from "../../src/domain/relative_path.ts";

/** What a mirror has to keep of one path. */
export interface TreeEntry {
  readonly kind: "file" | "folder" | "other";
  readonly sizeBytes: number;
  /** 0 for folders, whose times do not travel. */
  readonly mtimeMs: number;
  readonly executable: boolean;
}

/** The paths below a folder, `/`-separated. */
export type Tree = Map<string, TreeEntry>;

/** Looks at everything below `root`. What vanishes meanwhile is left out; a missing root is an empty tree. */
export function readTree(root: string): Tree {
  const tree: Tree = new Map();
  const visit = (folder: string, prefix: string) => {
    let entries: Deno.DirEntry[];
    try {
      entries = [...Deno.readDirSync(folder)];
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return;
      throw error;
    }
    for (const entry of entries) {
      if (prefix === "" && entry.name === STAGING_FOLDER) continue;
      const path = prefix + entry.name;
      const full = join(folder, entry.name);
      const stat = lstatOrNull(full);
      if (stat === null) continue;
      tree.set(path, {
        kind: stat.isDirectory ? "folder" : stat.isFile ? "file" : "other",
        sizeBytes: stat.isFile ? stat.size : 0,
        mtimeMs: stat.isFile ? stat.mtime?.getTime() ?? 0 : 0,
        executable: stat.isFile && ((stat.mode ?? 0) & 0o100) !== 0,
      });
      if (stat.isDirectory) visit(full, path + "/");
    }
  };
  visit(root, "");
  return tree;
}

/** What is at `path` itself, or `null` when nothing is. */
export function lstatOrNull(path: string): Deno.FileInfo | null {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return null;
    throw error;
  }
}

/** Every way in which two trees differ, one line each; empty when they are equal as far as a look can tell. */
export function treeDifferences(left: Tree, right: Tree): string[] {
  const found: string[] = [];
  for (const [path, a] of left) {
    const b = right.get(path);
    if (b === undefined) found.push(`missing on the other side: ${path}`);
    else if (a.kind !== b.kind) found.push(`${a.kind} here, ${b.kind} there: ${path}`);
    else if (a.sizeBytes !== b.sizeBytes) {
      found.push(`size ${a.sizeBytes} here, ${b.sizeBytes} there: ${path}`);
    } else if (a.mtimeMs !== b.mtimeMs) {
      found.push(
        `mtime ${new Date(a.mtimeMs).toISOString()} here, ${
          new Date(b.mtimeMs).toISOString()
        } there: ${path}`,
      );
    } else if (a.executable !== b.executable) found.push(`executable on one side only: ${path}`);
  }
  for (const path of right.keys()) if (!left.has(path)) found.push(`only on the other side: ${path}`);
  return found;
}

/** Whether two trees are equal as far as a look can tell. */
export function sameTree(left: Tree, right: Tree): boolean {
  return left.size === right.size && treeDifferences(left, right).length === 0;
}

/** The lower-case hex SHA-256 of a file's content. */
export function hashFile(path: string): string {
  using file = Deno.openSync(path);
  const hash = createHash("sha256");
  const buffer = new Uint8Array(1 << 20);
  for (let read = file.readSync(buffer); read !== null; read = file.readSync(buffer)) {
    hash.update(buffer.subarray(0, read));
  }
  return hash.digest("hex");
}

/** What {@linkcode compareFolders} found. */
export interface Comparison {
  readonly files: number;
  readonly folders: number;
  readonly bytes: number;
  readonly differences: readonly string[];
}

/** Compares two folders in everything that a mirror keeps, with the SHA-256 of every file. */
export function compareFolders(left: string, right: string): Comparison {
  const a = readTree(left);
  const differences = treeDifferences(a, readTree(right));
  let files = 0, folders = 0, bytes = 0;
  for (const [path, entry] of a) {
    if (entry.kind === "folder") folders++;
    if (entry.kind !== "file") continue;
    files++;
    bytes += entry.sizeBytes;
    try {
      if (hashFile(join(left, path)) !== hashFile(join(right, path))) {
        differences.push(`content differs: ${path}`);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // missing: already among the differences
    }
  }
  return { files, folders, bytes, differences };
}

/** Copies the files and folders below `from` (nothing else) into the new folder `to`; tells how many files. */
export async function copyTree(from: string, to: string): Promise<number> {
  Deno.mkdirSync(to, { recursive: true });
  let files = 0;
  for (const entry of Deno.readDirSync(from)) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory) {
      files += await copyTree(source, target);
    } else if (entry.isFile) {
      await Deno.copyFile(source, target);
      files++;
    }
  }
  return files;
}
