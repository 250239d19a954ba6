import type { SQLInputValue } from "node:sqlite";
import { Database, type Row } from "../../src/store/database.ts";
import type { Prng } from "./prng.ts";

/** All rows of a database, as they were when it was taken. */
export type Backup = ReadonlyMap<string, readonly Row[]>;

/** What happens around a database, for whoever wants to fail or to stop it. All of them may throw. */
export interface DatabaseHooks {
  /** A statement or a transaction begins. */
  begins(): void;
  /** A transaction is about to be committed; what is thrown undoes it. */
  commits(): void;
  /** A transaction was committed. */
  committed(): void;
}

const NO_HOOKS: DatabaseHooks = { begins: () => {}, commits: () => {}, committed: () => {} };

/**
 * A home's database in memory that forgets as one on a disk does: relaxed transactions that no other one has followed can be lost
 * with the power, the last ones first. They are kept as open savepoints until then.
 */
export class VolatileDatabase extends Database {
  hooks: DatabaseHooks = NO_HOOKS;
  readonly #isReady = true;
  #depth = 0;
  #relaxed = 0;
  #foreign = 0;

  constructor() {
    super(":memory:");
  }

  override run(sql: string, ...values: SQLInputValue[]): number {
    this.hooks.begins();
    const changes = super.run(sql, ...values);
    if (this.#depth === 0) this.#harden();
    return changes;
  }

  override get(sql: string, ...values: SQLInputValue[]): Row | null {
    this.hooks.begins();
    return super.get(sql, ...values);
  }

  override all(sql: string, ...values: SQLInputValue[]): Row[] {
    this.hooks.begins();
    return super.all(sql, ...values);
  }

  override transaction<T>(work: () => T): T {
    // The schema is made while the base class is built.
    if (!(#isReady in this)) return super.transaction(work);
    if (this.#depth > 0) return work();
    const result = this.#within("work", work);
    this.#exec("RELEASE work");
    this.#harden();
    this.hooks.committed();
    return result;
  }

  override relaxedTransaction<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    const result = this.#within(`relaxed${this.#relaxed + 1}`, work);
    this.#relaxed++;
    this.hooks.committed();
    return result;
  }

  override snapshot<T>(work: () => T): T {
    return work();
  }

  #within<T>(savepoint: string, work: () => T): T {
    this.hooks.begins();
    this.#exec(`SAVEPOINT ${savepoint}`);
    this.#depth++;
    let done = false;
    try {
      const result = work();
      this.hooks.commits();
      done = true;
      return result;
    } finally {
      this.#depth--;
      if (!done) this.#undo(savepoint);
    }
  }

  #undo(savepoint: string): void {
    this.#exec(`ROLLBACK TO ${savepoint}`);
    this.#exec(`RELEASE ${savepoint}`);
  }

  #exec(sql: string): void {
    this.prepare(sql).run();
  }

  /** Does something as another process would: the one that runs sees that the database has changed. */
  asAnotherProcess<T>(work: () => T): T {
    const result = this.transaction(work);
    this.#foreign++;
    return result;
  }

  override foreignChanges(): number {
    return this.#foreign;
  }

  /** Everything that was committed is on the disk. */
  #harden(): void {
    if (this.#relaxed > 0) this.#exec("RELEASE relaxed1");
    this.#relaxed = 0;
  }

  /** The process ends; with the power, the last relaxed transactions may go. */
  lose(random: Prng, survives: number): void {
    for (; this.#relaxed > 0 && !random.chance(survives); this.#relaxed--) {
      this.#undo(`relaxed${this.#relaxed}`);
    }
    this.#harden();
  }

  backup(): Backup {
    return new Map(
      this.#tables().map((table) => [
        table.name,
        super.all(`SELECT ${table.hasRowid ? "rowid AS rowid_, " : ""}* FROM ${table.name}`),
      ]),
    );
  }

  /** Makes the database what a backup says; without one, empty. */
  restore(backup: Backup | null): void {
    this.hooks = NO_HOOKS;
    this.#harden();
    this.#exec("PRAGMA foreign_keys = OFF");
    for (const { name } of this.#tables()) this.#exec(`DELETE FROM ${name}`);
    for (const [table, rows] of backup ?? []) {
      if (table === "sqlite_sequence") continue;
      for (const row of rows) {
        const columns = Object.keys(row).map((column) => column === "rowid_" ? "rowid" : column);
        super.run(
          `INSERT OR REPLACE INTO ${table} (${columns.join(", ")}) VALUES (${
            columns.map(() => "?").join(", ")
          })`,
          ...Object.values(row),
        );
      }
    }
    // Last: filling the tables has moved the counters.
    this.#exec("DELETE FROM sqlite_sequence");
    for (const { name, seq } of backup?.get("sqlite_sequence") ?? []) {
      super.run("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", name!, seq!);
    }
    this.#exec("PRAGMA foreign_keys = ON");
  }

  #tables(): { name: string; hasRowid: boolean }[] {
    return super.all("SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name").map((row) => ({
      name: String(row["name"]),
      hasRowid: !/WITHOUT ROWID|INTEGER PRIMARY KEY/.test(String(row["sql"])),
    }));
  }
}
