import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import { keepCopy } from "./keep_copy.ts";
import { MIGRATIONS } from "./migrations.ts";

/** With less room than this on the disk SQLite cannot make the files that it keeps beside a database. */
const MIN_ROOM_BYTES = 1024 * 1024;

/** One row as SQLite gives it; the table modules turn it into their own type. */
export type Row = Record<string, SQLInputValue>;

/**
 * The write-ahead log grows to this many pages before a commit has to move them to the file, which takes two flushes. Mostly it
 * is done in a moment of rest ({@linkcode Database.rest}): pages that change again and again are moved once then.
 */
const CHECKPOINT_PAGES = 8_192;
/** So many commits are worth a checkpoint at rest. */
const CHECKPOINT_COMMITS = 64;

/** How long a statement waits for another process's lock. */
const BUSY_TIMEOUT_MS = 5000;

/**
 * The home's SQLite file: opens it, brings its schema up to date, and hands out prepared statements and transactions.
 * `:memory:` gives a database of its own, for tests and the simulator.
 */
export class Database implements Disposable {
  readonly #db: DatabaseSync;
  readonly #file: string;
  readonly #statements = new Map<string, StatementSync>();
  #depth = 0;
  #commits = 0;
  #commitsAtRest = 0;
  /** Whether the disk was full since this was opened: from then on as little room as possible is taken. */
  #wasFull = false;

  /** @throws {MirrorError} `damaged_database` or `newer_database`; the file is left as it is. */
  constructor(file: string) {
    this.#file = file;
    try {
      this.#db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
    } catch (error) {
      throw unusable(file, error);
    }
    try {
      // Before anything is written: a newer program's database is left as it is.
      this.#refuseNewer(file);
      this.#db.exec("PRAGMA journal_mode = WAL");
      // FULL: a commit is on the disk when it returns. The ack of an operation rests on it.
      this.#db.exec("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -16000");
      this.#db.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
      // What REPLACE replaces counts as deleted, for the triggers.
      this.#db.exec("PRAGMA recursive_triggers = ON");
      this.#migrate();
    } catch (error) {
      this.#db.close();
      throw error instanceof MirrorError ? error : unusable(file, error);
    }
  }

  #version(): number {
    return Number((this.#db.prepare("PRAGMA user_version").get() as Row)["user_version"]);
  }

  #refuseNewer(file: string): void {
    const version = this.#version();
    if (version > MIGRATIONS.length) {
      throw new MirrorError(
        "newer_database",
        `${file} was written by a newer MirrorSync (schema ${version}, this program knows ${MIGRATIONS.length}). ` +
          "It was left untouched: use the newer program.",
      );
    }
  }

  /** Brings the schema up to date, all of it or nothing; of a database that was in use a copy is kept first. */
  #migrate(): void {
    const before = this.#version();
    if (before === MIGRATIONS.length) return;
    if (before > 0) keepCopy(this.#db, this.#file, before);
    this.transaction(() => {
      // Another process may have been faster: look again inside the transaction.
      for (const migration of MIGRATIONS.slice(this.#version())) this.#db.exec(migration);
      this.#db.exec(`PRAGMA user_version = ${MIGRATIONS.length}`);
    });
  }

  /** A prepared statement, kept for the next call with the same text. */
  prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#guard(() => this.prepare(sql).run(...values)).changes);
  }

  get(sql: string, ...values: SQLInputValue[]): Row | null {
    return (this.#guard(() => this.prepare(sql).get(...values)) as Row | undefined) ?? null;
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#guard(() => this.prepare(sql).all(...values)) as Row[];
  }

  /**
   * Runs `work` in one write transaction, durable when this returns; undone when it throws. A transaction inside another one
   * joins it. Synchronous, so nothing else on the control thread can come in between.
   */
  transaction<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    this.#guard(() => this.#db.exec("BEGIN IMMEDIATE"));
    this.#depth++;
    let done = false;
    let result: T;
    try {
      result = work();
      this.#guard(() => this.#db.exec("COMMIT"));
      done = true;
      this.#commits++;
    } finally {
      this.#depth--;
      if (!done && this.#db.isTransaction) this.#db.exec("ROLLBACK");
    }
    if (this.#wasFull) this.#emptyLog();
    return result;
  }

  /**
   * Moves what was just committed to the file, so that the write-ahead log begins anew and grows no more. Where it could take all the
   * room there is, nothing would be left by which the file could take in what the log holds, and neither could ever be written again.
   */
  #emptyLog(): void {
    try {
      this.#checkpoint();
    } catch (error) {
      // The commit stands. There is no room still: the next one says so, or comes here again.
      if (!(error instanceof MirrorError && error.code === "no_space")) throw error;
    }
  }

  /** What is in the write-ahead log goes to the file, as far as no other process still reads it. */
  #checkpoint(): void {
    this.#guard(() => this.#db.exec("PRAGMA wal_checkpoint(PASSIVE)"));
  }

  /**
   * The same without waiting for the disk: a power cut can take the last of such transactions back, each as a whole, until one of
   * the others follows. For what a scan or a comparison of trees finds out again.
   */
  relaxedTransaction<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    this.#db.exec("PRAGMA synchronous = NORMAL");
    try {
      return this.transaction(work);
    } finally {
      this.#db.exec("PRAGMA synchronous = FULL");
    }
  }

  /**
   * Runs `work`, which only reads, on one state of the database; many reads together cost half of what they do alone.
   * Synchronous, and without a transaction inside.
   */
  snapshot<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    this.#db.exec("BEGIN");
    try {
      return work();
    } finally {
      this.#db.exec("COMMIT");
    }
  }

  /**
   * To be called now and then: when many commits have come, and none since the last call, what they wrote is moved from the
   * write-ahead log to the file, as far as no other process still reads it.
   */
  rest(): void {
    if (this.#commits !== this.#commitsAtRest) {
      this.#commitsAtRest = this.#commits;
      return;
    }
    if (this.#commits < CHECKPOINT_COMMITS || this.#depth > 0) return;
    this.#commits = this.#commitsAtRest = 0;
    this.#checkpoint();
  }

  /**
   * @throws {MirrorError} `damaged_database` when the file's pages cannot be read, `no_space` when it cannot grow, `no_permission` when it
   * cannot be written, `not_trusted` when another process has removed the peer or user that a row belongs to.
   */
  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      const message = messageOf(error);
      if (/malformed|not a database/.test(message)) throw damaged(this.#file, error);
      if (isReadOnly(message)) throw readOnly(this.#file, error);
      if (/disk is full/.test(message)) {
        this.#wasFull = true;
        throw full(this.#file, error);
      }
      if (/FOREIGN KEY constraint failed/.test(message)) {
        throw new MirrorError("not_trusted", "the peer or user that it belongs to was removed meanwhile", {
          cause: error,
        });
      }
      throw error;
    }
  }

  /** What SQLite finds damaged in the file; empty when nothing is. Reads all of it. */
  integrityProblems(): string[] {
    const rows = this.all("PRAGMA integrity_check(10)").map((row) => String(row["integrity_check"]));
    return rows.length === 1 && rows[0] === "ok" ? [] : rows;
  }

  /** A number that changes when another process committed a change to the file. */
  foreignChanges(): number {
    return Number(this.get("PRAGMA data_version")!["data_version"]);
  }

  [Symbol.dispose](): void {
    this.#statements.clear();
    if (this.#db.isOpen) this.#db.close();
  }
}

/** Why a database cannot be opened or set up. */
function unusable(file: string, cause: unknown): MirrorError {
  const message = messageOf(cause);
  if (isReadOnly(message)) return readOnly(file, cause);
  // What SQLite keeps beside the file needs room even for reading; without any it only says that something went wrong.
  if (/disk is full|disk I\/O error/.test(message) && hasNoRoom(file)) return full(file, cause);
  return damaged(file, cause);
}

function isReadOnly(message: string): boolean {
  return /readonly database/.test(message);
}

function hasNoRoom(file: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(file));
    return bavail * bsize < MIN_ROOM_BYTES;
  } catch {
    return false; // not known: then it is told as what SQLite says
  }
}

function readOnly(file: string, cause: unknown): MirrorError {
  return new MirrorError(
    "no_permission",
    `the database ${file} cannot be written: give this user the right to write the home and all that is in it ` +
      "(or is its disk mounted read-only?)",
    { cause },
  );
}

function damaged(file: string, cause: unknown): MirrorError {
  return new MirrorError(
    "damaged_database",
    `the database ${file} cannot be used: ${
      messageOf(cause)
    }. Nothing was changed. If it is damaged, move it away ` +
      "(with its -wal and -shm files) and add the peers again: the mirrored files are recognised by their content, nothing is lost.",
    { cause },
  );
}

function full(file: string, cause: unknown): MirrorError {
  return new MirrorError("no_space", `the disk that holds the database ${file} is full: make room there`, {
    cause,
  });
}
