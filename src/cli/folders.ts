import { dirname, relative, sep } from "node:path";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import { quoteForShell, showPath } from "./text.ts";

/** The two folders of a run; both exist, and neither contains the other or the home. */
export interface Folders {
  readonly watched: string;
  readonly synced: string;
}

/**
 * Checks the folders of a run, and gives them with every symlink resolved.
 *
 * Neither is ever made here: one that is missing may lie on a disk that is not mounted, and an empty folder in its place would
 * look as if all its files had been deleted.
 *
 * @param folders Absolute paths; `home` is there.
 * @throws {MirrorError} `bad_folder` naming the folder and what to do.
 */
export async function checkFolders(
  folders: { readonly watched: string; readonly synced: string; readonly home: string },
): Promise<Folders> {
  const watched = await resolveFolder("watched", folders.watched);
  const synced = await resolveFolder("synced", folders.synced);
  const home = await Deno.realPath(folders.home);
  const shown = { watched: show(folders.watched, watched), synced: show(folders.synced, synced) };
  const [w, s, h] = await Promise.all([ancestors(watched), ancestors(synced), ancestors(home)]);
  if (isSame(w[0]!, s[0]!)) {
    throw bad(`watched and synced are the same folder, ${shown.watched}: they must be two`);
  }
  for (
    const [inner, outer, chain, top] of [["watched", "synced", w, s], ["synced", "watched", s, w]] as const
  ) {
    if (chain.some((folder) => isSame(folder, top[0]!))) {
      throw bad(
        `the ${inner} folder ${shown[inner]} lies in the ${outer} folder ${shown[outer]}: ` +
          "what arrives would be sent back. Choose two folders beside each other",
      );
    }
  }
  for (const [name, top] of [["watched", w], ["synced", s]] as const) {
    if (h.some((folder) => isSame(folder, top[0]!))) {
      throw bad(
        `the home ${show(folders.home, home)} lies in the ${name} folder ${
          shown[name]
        }, and it holds this peer's private ` +
          "key: choose another folder, or another home with --home",
      );
    }
  }
  return { watched, synced };
}

async function resolveFolder(name: "watched" | "synced", path: string): Promise<string> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(path);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) {
      throw bad(`the ${name} folder ${showPath(path)} cannot be opened: ${messageOf(cause)}`, cause);
    }
    throw bad(
      `the ${name} folder ${showPath(path)} does not exist. If its disk is not mounted, mount it; ` +
        `for a new folder:  mkdir -p ${quoteForShell(path)}`,
      cause,
    );
  }
  if (!info.isDirectory) throw bad(`the ${name} folder ${showPath(path)} is not a folder but a file`);
  try {
    for await (const _ of Deno.readDir(path)) break;
    return await Deno.realPath(path);
  } catch (cause) {
    throw bad(`the ${name} folder ${showPath(path)} cannot be read: ${messageOf(cause)}`, cause);
  }
}

/** A folder as two looks can be compared: names alone say too little where the file system folds case or is mounted twice. */
interface Seen {
  readonly path: string;
  readonly device: number;
  readonly inode: number | null;
}

/** The folder itself and all above it. */
async function ancestors(path: string): Promise<Seen[]> {
  const found: Seen[] = [];
  for (let at = path;; at = dirname(at)) {
    // A folder above that cannot be looked at is still told apart by its name.
    const info = await Deno.stat(at).catch(() => null);
    found.push({ path: at, device: info?.dev ?? 0, inode: info?.ino ?? null });
    if (dirname(at) === at) return found;
  }
}

function isSame(a: Seen, b: Seen): boolean {
  if (relative(a.path, b.path) === "") return true;
  return a.inode !== null && a.inode !== 0 && a.inode === b.inode && a.device === b.device;
}

/** The path as the user gave it, and where it leads when that is elsewhere. */
function show(given: string, real: string): string {
  const trimmed = given.endsWith(sep) ? given.slice(0, -1) : given;
  return trimmed === real ? showPath(real) : `${showPath(given)} (${showPath(real)})`;
}

function bad(message: string, cause?: unknown): MirrorError {
  return new MirrorError("bad_folder", message, { cause });
}
