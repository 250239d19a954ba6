import { FileError, type FileErrorCode } from "../domain/ports.ts";

/** How often a path that changes under our hands is looked at again before its work gives up. */
const RACES = 5;
/** What the file system says when something came, went, or became something else between a look and the step that follows it. */
const RACED: ReadonlySet<FileErrorCode> = new Set([
  "exists",
  "not_found",
  "not_empty",
  "not_folder",
  "is_folder",
  "symlink",
]);

/**
 * Does work that looks at paths first and then changes them, from its start again when somebody was faster at these very paths. It
 * must come to the right end from wherever it was left.
 */
export async function lookAgain(work: () => Promise<void>): Promise<void> {
  for (let race = 0;; race++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof FileError && RACED.has(error.code)) || race >= RACES) throw error;
    }
  }
}
