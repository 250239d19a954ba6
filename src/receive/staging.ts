import { conflictPath } from "../domain/conflict_name.ts";
import { FileError, type FileTree, type Random, type WriteHandle } from "../domain/ports.ts";
import { HOME_TRASH, LOCAL_TRASH, STAGING_FOLDER } from "../domain/relative_path.ts";
import type { Folding } from "../domain/plan.ts";
import { flushFolders } from "./flush_folders.ts";
import { findTrashed } from "./trash.ts";

/** A file that was staged: written, its hash checked, not yet flushed. */
export interface Staged {
  readonly path: string;
  readonly handle: WriteHandle;
  /** It came in pieces, and a row in `partials` tells of it as long as it is not committed. */
  readonly partial?: boolean;
}

/** Names in the staging folder say what they are, so that a crash leaves nothing that could be mistaken. */
const NEW = "new-";
const ASIDE = "old-";
const JOURNAL = "journal-";

/**
 * Makes the staging folder if it is not there.
 *
 * @throws {FileError} when something else has its name, or it cannot be made.
 */
export async function ensureStaging(tree: FileTree): Promise<void> {
  let stat = await tree.lstat(STAGING_FOLDER);
  if (stat === null) {
    try {
      await tree.mkdir(STAGING_FOLDER);
    } catch (error) {
      // Files that come on different links are staged at the same time, and repairs: another one was faster.
      if (!(error instanceof FileError && error.code === "exists")) throw error;
      stat = await tree.lstat(STAGING_FOLDER);
    }
  }
  if (stat !== null && stat.kind !== "folder") {
    throw new FileError(
      "not_folder",
      `${tree.root}/${STAGING_FOLDER} is MirrorSync's own folder, but something else has the name: move it away`,
    );
  }
}

/**
 * The staging folder at the top of `synced/`: where content waits, verified and flushed, until it is renamed into place. It is
 * there only while something is on its way, so that a mirror at rest holds nothing but the peer's files.
 */
export class Staging {
  readonly #tree: FileTree;
  readonly #random: Random;
  #there = false;
  /** Files that are being made: the folder is not taken away under them. */
  #creating = 0;

  constructor(tree: FileTree, random: Random) {
    this.#tree = tree;
    this.#random = random;
  }

  /**
   * Makes the folder if it is not there.
   *
   * @throws {FileError} when something else has its name, or it cannot be made.
   */
  async ensure(): Promise<void> {
    if (this.#there) return;
    await ensureStaging(this.#tree);
    this.#there = true;
  }

  /** Removes the folder if nothing is in it. */
  async tidy(): Promise<void> {
    // Whoever is making a file in it calls again when that is taken away.
    if (!this.#there || this.#creating > 0) return;
    this.#there = false;
    try {
      await this.#tree.rmdir(STAGING_FOLDER);
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      // Something is staged, or a journal is needed: whoever takes that away calls again. Or somebody was faster.
      this.#there = error.code === "not_empty";
    }
  }

  /** Opens a new file in the folder. */
  async create(path = this.newPath()): Promise<Staged> {
    this.#creating++;
    try {
      for (let first = true;; first = false) {
        await this.ensure();
        try {
          return { path, handle: await this.#tree.create(path) };
        } catch (error) {
          // Removed by hand, or tidied away by a call that had begun before.
          if (!first || !(error instanceof FileError && error.code === "not_found")) throw error;
          this.#there = false;
        }
      }
    } finally {
      this.#creating--;
    }
  }

  newPath(): string {
    return `${STAGING_FOLDER}/${NEW}${this.#random.uuid()}`;
  }

  journalPath(): string {
    return `${STAGING_FOLDER}/${JOURNAL}${this.#random.uuid()}`;
  }

  asidePath(): string {
    return `${STAGING_FOLDER}/${ASIDE}${this.#random.uuid()}`;
  }

  /**
   * Removes what a crash or a lost link left. Old versions nobody answers for are kept, at the top of the tree, and never deleted
   * but for those of which `known` says that they are a peer's own.
   *
   * @param keeps Is told of each that is kept, and where, right before it gets there: a crash must not come between.
   */
  async sweep(
    nowMs: number,
    inUse: ReadonlySet<string>,
    known: (asides: readonly string[]) => Promise<ReadonlySet<string>>,
    keeps: (path: string) => void,
  ): Promise<void> {
    await this.ensure();
    const asides: string[] = [];
    let isChanged = false;
    for (const { name, stat } of await this.#tree.list(STAGING_FOLDER)) {
      const path = `${STAGING_FOLDER}/${name}`;
      if (stat === null || inUse.has(path) || path === HOME_TRASH || path === LOCAL_TRASH) continue;
      isChanged = true;
      if (name.startsWith(ASIDE)) {
        // On a disk that was not flushed in between it can show under its new name and its old one.
        const stored = await findTrashed(this.#tree, path);
        if (stored !== null && (await this.#tree.lstat(stored))?.inode === stat.inode) {
          await this.#tree.unlink(path);
        } else asides.push(path);
      } else if (stat.kind === "folder") await this.#removeNewFolder(path);
      else await this.#tree.unlink(path);
    }
    const dispensable = asides.length === 0 ? new Set<string>() : await known(asides);
    for (const path of asides) {
      if (dispensable.has(path)) {
        await this.#tree.unlink(path);
        continue;
      }
      const to = await freeConflictPath(this.#tree, "recovered", nowMs);
      keeps(to);
      await this.#tree.rename(path, to);
    }
    // Else a power cut could bring the names back, with whatever is left of what they held.
    if (isChanged) await flushFolders(this.#tree, [STAGING_FOLDER, ""]);
  }

  /**
   * A new folder with its files. Nothing is staged deeper, but when a power cut takes back that it was put in its place, it can hold
   * what came into it there a moment later.
   */
  async #removeNewFolder(path: string): Promise<void> {
    for (const { name, stat } of await this.#tree.list(path)) {
      const at = `${path}/${name}`;
      await (stat?.kind === "folder" ? this.#removeNewFolder(at) : this.#tree.unlink(at));
    }
    await this.#tree.rmdir(path);
  }

  /** Finds out by trying whether the folder takes names for one that differ in case or in Unicode form. */
  async probeFolding(): Promise<Folding> {
    const base = `${STAGING_FOLDER}/probe-${this.#random.uuid()}-`;
    const probe = async (made: string, asked: string) => {
      (await this.#tree.create(base + made)).close();
      const found = await this.#tree.lstat(base + asked) !== null;
      await this.#tree.unlink(base + made);
      return found;
    };
    return { case: await probe("a", "A"), unicode: await probe("\u00e9", "e\u0301") };
  }
}

/** A name for a conflict copy that nothing has yet. */
export async function freeConflictPath(tree: FileTree, path: string, nowMs: number): Promise<string> {
  for (let attempt = 0;; attempt++) {
    const to = conflictPath(path, nowMs, attempt);
    if (await tree.lstat(to) === null) return to;
  }
}
