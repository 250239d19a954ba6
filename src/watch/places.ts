import type { Observation } from "../domain/observation.ts";
import { FileError, type FileTree } from "../domain/ports.ts";
import { joinPath, type RelativePath, STAGING_FOLDER } from "../domain/relative_path.ts";
import type { Store } from "../store/store.ts";
import { type Place, shown, travelling } from "./compare.ts";
import { IgnoreFiles } from "./ignore_files.ts";
import { type IgnoreFile, IgnoreRules } from "./ignore_rules.ts";
import { observedStat } from "./sighting.ts";

/** A folder, and the rules that act inside it, once its own ignore file (if any) is known. */
export interface Entrance {
  readonly place: Place;
  enter(own: IgnoreFile | null): IgnoreRules;
}

/** What a search for a folder gave. */
export type Located =
  | { readonly kind: "here"; readonly entrance: Entrance; readonly rules: IgnoreRules }
  /** Something on the way is not as it was observed: that path is to be looked at first. */
  | { readonly kind: "look"; readonly diskPath: string }
  /** This folder or its ignore file cannot be read: a scan of it says so. */
  | { readonly kind: "scan"; readonly entrance: Entrance }
  /** What lies there is none of our business (ignored, a twin, staging). */
  | { readonly kind: "nothing" };

/**
 * Looks at the root.
 *
 * @throws {FileError} when it is missing, not a folder, or cannot be looked at: then nothing is known about anything in it.
 */
export async function enterRoot(tree: FileTree): Promise<Entrance> {
  const stat = await tree.lstat("");
  if (stat === null) {
    throw new FileError(
      "not_found",
      `the watched folder ${shown(tree.root)} is not there: make it again, or mount the disk that holds it`,
    );
  }
  if (stat.kind !== "folder") {
    throw new FileError(
      "not_folder",
      `${shown(tree.root)} is not a folder: move it away and make the folder again`,
    );
  }
  return {
    place: { diskPath: "", path: "", stat, row: null },
    enter: (own) => IgnoreRules.root(own),
  };
}

/** The way into a folder from the one above it. */
export function enterBelow(place: Place, name: string, rules: IgnoreRules): Entrance {
  return { place, enter: (own) => rules.enter(travelling(name), own) };
}

/** The row at a path that was put together from names of the disk: one that may not travel has none. */
export function rowAt(store: Store, path: string): Observation | null {
  return store.observed.get(path as RelativePath);
}

/**
 * Walks down to a folder that an event named, and makes certain of every step: that it is a folder and no link, that it is not ignored,
 * and that it is the one that was observed.
 *
 * @throws {FileError} when the root cannot be entered.
 */
export async function locate(
  tree: FileTree,
  store: Store,
  ignoreFiles: IgnoreFiles,
  diskFolder: string,
): Promise<Located> {
  let entrance = await enterRoot(tree);
  let rules: IgnoreRules;
  try {
    rules = entrance.enter(await ignoreFiles.find("", ""));
    for (const name of diskFolder === "" ? [] : diskFolder.split("/")) {
      const above = entrance.place;
      const diskPath = joinPath(above.diskPath, name);
      if (name === STAGING_FOLDER || rules.ignores(travelling(name), true)) return { kind: "nothing" };
      const path = joinPath(above.path, travelling(name));
      const found = await tree.lstat(diskPath);
      const row = rowAt(store, path);
      if (
        found?.kind !== "folder" || row?.kind !== "folder" || row.held !== null || row.device !== found.device
      ) {
        return { kind: "look", diskPath };
      }
      if (row.diskPath !== diskPath) return { kind: "nothing" };
      entrance = enterBelow({ diskPath, path, stat: observedStat(found), row }, name, rules);
      rules = entrance.enter(await ignoreFiles.find(diskPath, path));
    }
  } catch (error) {
    if (error instanceof FileError) return { kind: "scan", entrance };
    throw error;
  }
  return { kind: "here", entrance, rules };
}
