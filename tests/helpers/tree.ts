import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { eventually, type EventuallyOptions } from "./eventually.ts";

/** One thing below a root, as a user could see it. */
export interface TreeEntry {
  readonly kind: "file" | "folder" | "symlink" | "special";
  /** 0 for everything but files. */
  readonly sizeBytes: number;
  /** Milliseconds of UTC; 0 for everything but files: the times of folders do not travel. */
  readonly mtimeMs: number;
  readonly executable: boolean;
  /** SHA-256 in hex; `""` for everything but files, and where hashes were not asked for. */
  readonly hash: string;
}

/** Everything below a root, by path. */
export type Tree = Map<string, TreeEntry>;

/** Where a peer stages content; the only thing in `synced/` that is not part of the mirror. */
const STAGING = ".mirrorsync-staging";

/** SHA-256 of `content` in lower-case hex. */
export function sha256(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex");
}

/**
 * Looks at everything below `root`, following no symlink. Files that vanish meanwhile are left out; with `hashes: false` no
 * file is read.
 */
export async function snapshot(root: string, options: { readonly hashes?: boolean } = {}): Promise<Tree> {
  const tree: Tree = new Map();
  const open: string[] = [""];
  for (let folder = open.pop(); folder !== undefined; folder = open.pop()) {
    for (const { name } of await readFolder(folder === "" ? root : `${root}/${folder}`)) {
      if (folder === "" && name.startsWith(STAGING)) continue;
      const path = folder === "" ? name : `${folder}/${name}`;
      const entry = await look(`${root}/${path}`, options.hashes ?? true);
      if (entry === null) continue;
      tree.set(path, entry);
      if (entry.kind === "folder") open.push(path);
    }
  }
  return tree;
}

async function readFolder(folder: string): Promise<Deno.DirEntry[]> {
  try {
    return await Array.fromAsync(Deno.readDir(folder));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return [];
    throw error;
  }
}

async function look(path: string, hashes: boolean): Promise<TreeEntry | null> {
  try {
    const stat = await Deno.lstat(path);
    if (!stat.isFile) {
      const kind = stat.isDirectory ? "folder" : stat.isSymlink ? "symlink" : "special";
      return { kind, sizeBytes: 0, mtimeMs: 0, executable: false, hash: "" };
    }
    return {
      kind: "file",
      sizeBytes: stat.size,
      mtimeMs: stat.mtime?.getTime() ?? 0,
      executable: ((stat.mode ?? 0) & 0o100) !== 0,
      hash: hashes ? await hashFile(path) : "",
    };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return null;
    throw error;
  }
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  const buffer = new Uint8Array(256 * 1024);
  for (let read = await file.read(buffer); read !== null; read = await file.read(buffer)) {
    hash.update(buffer.subarray(0, read));
  }
  return hash.digest("hex");
}

/** What a mirror of `source` has to be: symlinks and special files left out, names in Unicode form NFC. */
export function mirrorOf(source: Tree): Tree {
  const mirror: Tree = new Map();
  for (const [path, entry] of source) {
    if (entry.kind === "file" || entry.kind === "folder") mirror.set(path.normalize("NFC"), entry);
  }
  return mirror;
}

/** Each difference as a line for a human; empty when the trees are the same. */
export function differences(expected: Tree, actual: Tree): string[] {
  const lines: string[] = [];
  for (const [path, want] of expected) {
    const have = actual.get(path);
    const name = JSON.stringify(path.length > 120 ? `${path.slice(0, 117)}...` : path);
    if (have === undefined) lines.push(`- missing ${want.kind} ${name}`);
    else if (have.kind !== want.kind) lines.push(`! ${name}: a ${have.kind}, should be a ${want.kind}`);
    else {
      for (const key of ["sizeBytes", "hash", "mtimeMs", "executable"] as const) {
        if (have[key] !== want[key]) lines.push(`! ${name}: ${key} is ${have[key]}, should be ${want[key]}`);
      }
    }
  }
  for (const [path, have] of actual) {
    if (!expected.has(path)) lines.push(`+ unexpected ${have.kind} ${JSON.stringify(path)}`);
  }
  return lines;
}

/** Fails with a readable list when the trees differ. */
export function assertSameTree(expected: Tree, actual: Tree, what = "the trees"): void {
  const lines = differences(expected, actual);
  if (lines.length === 0) return;
  const more = lines.length > 20 ? `\n  … and ${lines.length - 20} more` : "";
  assert.fail(`${what} differ in ${lines.length} places:\n  ${lines.slice(0, 20).join("\n  ")}${more}`);
}

/** Waits until `synced` is the exact mirror of `watched`: nothing missing, nothing more, no conflict copies. */
export async function assertMirrored(
  watched: string,
  synced: string,
  options: EventuallyOptions = {},
): Promise<void> {
  await eventually(`${synced} mirrors ${watched}`, async () => {
    // Names, sizes and times first: hashing thousands of files at each try would slow down what is waited for.
    for (const hashes of [false, true]) {
      const expected = mirrorOf(await snapshot(watched, { hashes }));
      assertSameTree(expected, await snapshot(synced, { hashes }), synced);
    }
  }, { everyMs: 50, ...options });
}

/** Waits until everything of `watched` is in `synced` as it should be; `synced` may hold more (conflict copies, own files). */
export async function assertContained(
  watched: string,
  synced: string,
  options: EventuallyOptions = {},
): Promise<void> {
  await eventually(`${synced} contains ${watched}`, async () => {
    const expected = mirrorOf(await snapshot(watched));
    const actual = await snapshot(synced);
    for (const path of actual.keys()) if (!expected.has(path)) actual.delete(path);
    assertSameTree(expected, actual, synced);
  }, { everyMs: 50, ...options });
}

/** The paths of all files below `root` with exactly this content. */
export async function filesWithContent(root: string, content: string | Uint8Array): Promise<string[]> {
  const hash = sha256(content);
  const found: string[] = [];
  for (const [path, entry] of await snapshot(root)) if (entry.hash === hash) found.push(path);
  return found.sort();
}

/** Whether anything is at `path`, a dangling symlink included. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

/** Waits until `path` is a file with this text. */
export async function assertFile(path: string, text: string, options: EventuallyOptions = {}): Promise<void> {
  await eventually(
    `${path} has its content`,
    async () => assert.equal(await Deno.readTextFile(path), text),
    options,
  );
}

/** Waits until nothing is at `path`. */
export async function assertGone(path: string, options: EventuallyOptions = {}): Promise<void> {
  await eventually(`${path} is gone`, async () => assert.equal(await exists(path), false), options);
}

/** Makes a named pipe. */
export async function makePipe(path: string): Promise<void> {
  const { success } = await new Deno.Command("mkfifo", { args: [path] }).output();
  assert.ok(success, `mkfifo ${path}`);
}

/** Writes a file and the folders above it. */
export async function put(path: string, content: string | Uint8Array): Promise<void> {
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  if (typeof content === "string") await Deno.writeTextFile(path, content);
  else await Deno.writeFile(path, content);
}
