import { type FileStat, sameStat } from "../domain/observation.ts";
import { type Clock, FileError, type FileTree } from "../domain/ports.ts";
import { joinPath } from "../domain/relative_path.ts";
import { IGNORE_FILE, IgnoreFile } from "./ignore_rules.ts";

/** An ignore file that is larger is none: reading it would cost more than it could save. */
const MAX_BYTES = 4 * 1024 * 1024;
/** A file that changed less than this ago may change again behind the same stat (ctime comes in whole seconds). */
const CERTAIN_AFTER_MS = 3000;

/** Reads the ignore files of a tree, and keeps those that did not change since. */
export class IgnoreFiles {
  readonly #tree: FileTree;
  readonly #clock: Clock;
  readonly #kept = new Map<string, { readonly stat: FileStat; readonly file: IgnoreFile }>();

  constructor(tree: FileTree, clock: Clock) {
    this.#tree = tree;
    this.#clock = clock;
  }

  /** Where the ignore file of a folder lies. */
  static pathIn(folder: string): string {
    return joinPath(folder, IGNORE_FILE);
  }

  /** Looks for the ignore file of a folder and reads it. @throws {FileError} as {@linkcode IgnoreFiles.read}. */
  async find(diskFolder: string, folder: string): Promise<IgnoreFile | null> {
    return this.read(diskFolder, folder, await this.#tree.lstat(IgnoreFiles.pathIn(diskFolder)));
  }

  /**
   * Reads the ignore file of a folder; a symlink of that name is none, as in git.
   *
   * @param stat What a look at the ignore file showed just now.
   * @throws {FileError} when it is there and cannot be read.
   */
  async read(diskFolder: string, folder: string, stat: FileStat | null): Promise<IgnoreFile | null> {
    if (stat === null || stat.kind !== "file") {
      this.#kept.delete(diskFolder);
      return null;
    }
    const kept = this.#kept.get(diskFolder);
    if (kept !== undefined && kept.file.folder === folder && sameStat(kept.stat, stat)) return kept.file;
    const path = IgnoreFiles.pathIn(diskFolder);
    if (stat.sizeBytes > MAX_BYTES) {
      throw new FileError("io", `cannot use ${path}: an ignore file may have 4 MiB at most`);
    }
    let text: string;
    try {
      text = await this.#readText(path, stat.sizeBytes);
    } catch (error) {
      // Removed or replaced a moment ago; the event of that leads to another look.
      if (error instanceof FileError && (error.code === "not_found" || error.code === "symlink")) return null;
      throw error;
    }
    const file = IgnoreFile.parse(folder, text);
    if (this.#clock.now() - Math.max(stat.mtimeMs, stat.ctimeMs) >= CERTAIN_AFTER_MS) {
      this.#kept.set(diskFolder, { stat, file });
    } else this.#kept.delete(diskFolder);
    return file;
  }

  async #readText(path: string, sizeBytes: number): Promise<string> {
    const handle = await this.#tree.openRead(path);
    try {
      const bytes = new Uint8Array(sizeBytes);
      const count = await handle.readAt(bytes, 0);
      return new TextDecoder().decode(bytes.subarray(0, count));
    } finally {
      handle.close();
    }
  }
}
