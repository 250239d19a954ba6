import { createHash } from "node:crypto";
import { nameWithMark } from "../domain/conflict_name.ts";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import { type Clock, FileError, type FileTree, type ReadHandle } from "../domain/ports.ts";
import { joinPath, nameOf } from "../domain/relative_path.ts";
import { readParts } from "../domain/read_parts.ts";
import { Slices } from "../domain/slices.ts";
import type { Trashed } from "../store/trash.ts";
import { flushFolders } from "./flush_folders.ts";

/** ctime, from which it is known when a version came, has whole seconds only on some systems. */
const PLACED_TOLERANCE_MS = 1_000;
/** Ends the name of a file that is not whole yet. */
const UNFINISHED = ".restoring";

/** One version that was brought back, or could not be. */
export interface RestoredFile {
  readonly version: Trashed;
  /** Where it is now, below the root that it was restored to. */
  readonly to: string;
  /** Why it could not be restored; `null` when it was. */
  readonly failure: string | null;
}

/**
 * Chooses one version of each path: the one that was in place at a time, or without a time the one that went last.
 *
 * @param versions In the order in which they went.
 */
export function chooseVersions(versions: readonly Trashed[], atMs: number | null): Trashed[] {
  const chosen = new Map<string, Trashed>();
  for (const version of versions) {
    if (atMs === null) chosen.set(version.path, version);
    else if (
      !chosen.has(version.path) && version.trashedMs > atMs && version.placedMs < atMs + PLACED_TOLERANCE_MS
    ) chosen.set(version.path, version);
  }
  return [...chosen.values()].sort((a, b) => a.path < b.path ? -1 : 1);
}

/** A name for what is restored that nothing has yet, beside that of `path`; `report.restored-20261122-100000.txt`. */
export async function freeRestoredPath(tree: FileTree, path: string, nowMs: number): Promise<string> {
  for (let attempt = 0;; attempt++) {
    const to = nameWithMark(path, "restored", nowMs, attempt);
    if (await tree.lstat(to) === null) return to;
  }
}

/**
 * Copies versions out of the trash. Each is hashed on the way: what the disk has spoiled is not given out as what it was. Nothing
 * is replaced.
 *
 * @param trash The tree that the versions are stored in.
 * @param to The tree that they are restored to; `placeOf` says where in it.
 */
export async function restoreVersions(
  parts: { readonly trash: FileTree; readonly to: FileTree; readonly clock: Clock },
  versions: readonly Trashed[],
  placeOf: (version: Trashed) => string,
): Promise<RestoredFile[]> {
  const { trash, to: tree } = parts;
  const restored: RestoredFile[] = [];
  const made = new Set<string>();
  for (const version of versions) {
    const to = placeOf(version);
    let failure: string | null = null;
    try {
      if (version.stored === null) await makeFolders(tree, to, made);
      else {
        await makeFolders(tree, to.slice(0, -nameOf(to).length - 1), made);
        await copyOut(trash, version, version.stored, tree, to, new Slices(parts.clock));
      }
    } catch (error) {
      if (!(error instanceof FileError || error instanceof MirrorError)) throw error;
      failure = error instanceof FileError && error.code === "not_found"
        ? "it is not in the trash any more"
        : messageOf(error);
    }
    restored.push({ version, to, failure });
  }
  await flushFolders(tree, made);
  return restored;
}

/** Makes a folder and those above it, as far as they are missing; never through a symlink. */
async function makeFolders(tree: FileTree, folder: string, made: Set<string>): Promise<void> {
  made.add("");
  let above = "";
  for (const name of folder === "" ? [] : folder.split("/")) {
    above = joinPath(above, name);
    if (made.has(above)) continue;
    const stat = await tree.lstat(above);
    if (stat === null) await tree.mkdir(above);
    else if (stat.kind !== "folder") throw new FileError("not_folder", `${above} is not a folder`);
    made.add(above);
  }
}

async function copyOut(
  trash: FileTree,
  version: Trashed,
  stored: string,
  tree: FileTree,
  to: string,
  slices: Slices,
): Promise<void> {
  const { state, path } = version;
  const source = await trash.openRead(stored);
  try {
    if (await tree.lstat(to) !== null) throw new FileError("exists", `${to} is there already`);
    const unfinished = to + UNFINISHED;
    const copy = await tree.create(unfinished);
    try {
      if (await copyHashed(source, copy, slices) !== state.hash) {
        throw new MirrorError(
          "hash_mismatch",
          `the trash has ${path} damaged: it is not what the peer had sent`,
        );
      }
      copy.setTimes(state.mtimeMs);
      if (state.executable) copy.setExecutable(true);
      await copy.flush();
    } catch (error) {
      copy.close();
      await tree.unlink(unfinished);
      throw error;
    }
    copy.close();
    await tree.rename(unfinished, to);
  } finally {
    source.close();
  }
}

async function copyHashed(
  source: ReadHandle,
  copy: { write(bytes: Uint8Array): Promise<void> },
  slices: Slices,
): Promise<string> {
  const hash = createHash("sha256");
  for await (const part of readParts(source, slices)) {
    hash.update(part);
    await copy.write(part);
  }
  return hash.digest("hex");
}
