import { FileError, type FileErrorCode, type FileTree } from "../domain/ports.ts";
import { ancestorsOf, type RelativePath } from "../domain/relative_path.ts";

/** That a folder is not there, or is none any more. */
const ABSENT: ReadonlySet<FileErrorCode> = new Set(["not_found", "not_folder", "symlink"]);

/**
 * Makes the entries of folders durable. A folder that somebody has removed or replaced meanwhile has none, so nothing of it is left
 * to be flushed.
 *
 * @throws {FileError} when the disk refuses; some of the folders may be flushed then.
 */
export async function flushFolders(tree: FileTree, folders: Iterable<string>): Promise<void> {
  for (const folder of new Set(folders)) {
    try {
      await tree.flushFolder(folder);
    } catch (error) {
      if (!(error instanceof FileError && ABSENT.has(error.code))) throw error;
    }
  }
}

/** All the folders whose entries lead to paths, the root first: what has to be flushed for them to be found after a power cut. */
export function foldersAbove(...paths: readonly RelativePath[]): string[] {
  return ["", ...paths.flatMap(ancestorsOf)];
}
