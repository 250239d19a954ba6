import type { FileStat } from "../domain/observation.ts";
import { FileError, type FileTree } from "../domain/ports.ts";
import { joinPath, nameOf, parentOf, type RelativePath } from "../domain/relative_path.ts";
import type { Staged, Staging } from "./staging.ts";

/** With fewer files it is quicker to put each in its place. */
const MIN_FILES = 4;

/** A new folder that is made in staging together with the files that came with it, and moved to its place as a whole. */
export interface NewFolder {
  /** Where it is in staging. */
  readonly path: string;
  /** How the files in it looked when they were written; moving their folder changes nothing of that. */
  readonly files: Map<RelativePath, FileStat>;
  /** Whether one of its files is not as it should be, so that it cannot be put in place with the others. */
  spoiled: boolean;
  placed: boolean;
}

/** What this needs to know of an operation of the group. */
export interface Arrival {
  readonly path: RelativePath;
  /** A folder or a file of this name would be new here, as far as the database knows. */
  readonly isNew: boolean;
  readonly kind: "folder" | "file" | "other";
}

/** The new folders of one group: their files need no staging of their own, and appear all at once. */
export class NewFolders {
  readonly #tree: FileTree;
  readonly #folders = new Map<RelativePath, NewFolder>();

  private constructor(tree: FileTree) {
    this.#tree = tree;
  }

  /** Makes those folders in staging that are not here yet and that enough of the group's files belong to, in its order. */
  static async make(tree: FileTree, staging: Staging, arrivals: readonly Arrival[]): Promise<NewFolders> {
    const made = new NewFolders(tree);
    const counts = new Map<RelativePath, number>();
    for (const { path, kind, isNew } of arrivals) {
      // Only files that come after their folder.
      if (kind === "folder" && isNew) counts.set(path, 0);
      const parent = parentOf(path);
      const count = parent === null ? undefined : counts.get(parent);
      if (kind === "file" && isNew && count !== undefined) counts.set(parent!, count + 1);
    }
    for (const [path, count] of counts) {
      if (count < MIN_FILES) continue;
      const folder = { path: staging.newPath(), files: new Map(), spoiled: false, placed: false };
      try {
        if (await tree.lstat(path) !== null) continue;
        await tree.mkdir(folder.path);
      } catch (error) {
        // Each of its operations finds out for itself what is wrong.
        if (error instanceof FileError) continue;
        throw error;
      }
      made.#folders.set(path, folder);
    }
    return made;
  }

  /** The folder that is made at a path. */
  at(path: RelativePath): NewFolder | null {
    return this.#folders.get(path) ?? null;
  }

  /** The folder in which the file of a path is made. */
  holding(path: RelativePath): NewFolder | null {
    const parent = parentOf(path);
    return parent === null ? null : this.at(parent);
  }

  /** Opens a new file in its folder in staging. */
  async create(folder: NewFolder, path: RelativePath): Promise<Staged> {
    const at = joinPath(folder.path, nameOf(path));
    return { path: at, handle: await this.#tree.create(at) };
  }

  /** Removes those that were not put in place, when their files are out of them. */
  async tidy(): Promise<void> {
    for (const { path, placed } of this.#folders.values()) {
      if (placed) continue;
      try {
        await this.#tree.rmdir(path);
      } catch (error) {
        // The next start sweeps it.
        if (!(error instanceof FileError)) throw error;
      }
    }
  }
}
