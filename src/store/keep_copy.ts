import { DatabaseSync } from "node:sqlite";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";

/** Where the copy of a database is kept that has the schema `version`, for the program that knows no newer one. */
export function copyPath(file: string, version: number): string {
  return `${file}.schema-${version}`;
}

/**
 * Copies a database before it is brought up to date, whole and consistent, for its owner alone: an older program refuses what a
 * newer one has migrated, and this is the way back.
 *
 * @param version The schema that the database has now.
 * @throws {MirrorError} `failed` when the copy cannot be made; the database is as it was.
 */
export function keepCopy(db: DatabaseSync, file: string, version: number): void {
  const target = copyPath(file, version);
  const draft = `${target}.${Deno.pid}.tmp`;
  try {
    removeIfThere(draft); // of a process with this number that did not come to its end
    // An empty file is filled by SQLite; made by SQLite itself it could be read by others.
    Deno.openSync(draft, { write: true, createNew: true, mode: 0o600 }).close();
    db.prepare("VACUUM INTO ?").run(draft);
    // Another process may have migrated it meanwhile, and has made its own copy before.
    if (versionOf(draft) !== version) return Deno.removeSync(draft);
    using written = Deno.openSync(draft, { read: true, write: true });
    written.syncSync();
    Deno.renameSync(draft, target);
  } catch (cause) {
    try {
      removeIfThere(draft);
    } catch {
      // What is wrong with the disk is told below.
    }
    throw new MirrorError(
      "failed",
      `${file} is to be brought up to date for this program, and the copy that is kept of it before, ${target}, cannot be ` +
        `written (${
          messageOf(cause)
        }): make room for it, or use the older program. The database was left as it is`,
      { cause },
    );
  }
}

function versionOf(file: string): number {
  using db = new DatabaseSync(file, { readOnly: true });
  return Number(db.prepare("PRAGMA user_version").get()!["user_version"]);
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
