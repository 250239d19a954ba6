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
    // Another process may have migrated it meanwhile, and has made its own copy before.
    if (!copyInto(db, draft, version)) return Deno.removeSync(draft);
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

/**
 * Copies every table, row, index and trigger of one state of the database into an empty one. `VACUUM INTO` would do that by itself,
 * but the runtime refuses it to a program that was not given all permissions, and to copy the file would end SQLite's locks on it.
 *
 * @returns `false`, with nothing copied, when the database has another schema than `version`.
 */
function copyInto(db: DatabaseSync, draft: string, version: number): boolean {
  using copy = new DatabaseSync(draft);
  // It is flushed as a whole when all of it is there, and thrown away when anything fails.
  copy.exec("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; BEGIN");
  db.exec("BEGIN");
  try {
    if (Number(db.prepare("PRAGMA user_version").get()!["user_version"]) !== version) return false;
    const parts = db.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY rowid").all().map((
      { type, name, sql },
    ) => ({ isTable: type === "table", name: String(name), sql }));
    const own = parts.filter((part) => !part.name.startsWith("sqlite_"));
    for (const { isTable, sql } of own) if (isTable) copy.exec(String(sql));
    for (const { isTable, name } of own) if (isTable) copyRows(db, copy, name);
    if (parts.some(({ name }) => name === SEQUENCE)) {
      // The highest numbers that were ever given, which the rows alone do not tell.
      copy.exec(`DELETE FROM ${SEQUENCE}`);
      copyRows(db, copy, SEQUENCE);
    }
    // Now: a trigger would have counted what was just copied.
    for (const { isTable, sql } of own) if (!isTable && sql !== null) copy.exec(String(sql));
    copy.exec(`PRAGMA user_version = ${version}; COMMIT`);
    return true;
  } finally {
    db.exec("ROLLBACK"); // it has only read
  }
}

/** Where SQLite keeps which numbers were given, in a database with AUTOINCREMENT. */
const SEQUENCE = "sqlite_sequence";

function copyRows(from: DatabaseSync, to: DatabaseSync, table: string): void {
  const rows = from.prepare(`SELECT * FROM "${table}"`);
  rows.setReadBigInts(true);
  const columns = rows.columns().map(({ name }) => name);
  const names = columns.map((name) => `"${name}"`).join(", ");
  const insert = to.prepare(
    `INSERT INTO "${table}" (${names}) VALUES (${columns.map(() => "?").join(", ")})`,
  );
  for (const row of rows.iterate()) insert.run(...columns.map((name) => row[name]!));
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
