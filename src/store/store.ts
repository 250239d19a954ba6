import { AckedTable } from "./acked.ts";
import { AuditTable } from "./audit.ts";
import { ChunkListsTable } from "./chunk_lists.ts";
import { Database } from "./database.ts";
import { DepartedTable } from "./departed.ts";
import { FactsTable } from "./facts.ts";
import { IntentsTable } from "./intents.ts";
import { InvitesTable } from "./invites.ts";
import { JournalsTable } from "./journals.ts";
import { LoginFailuresTable } from "./login_failures.ts";
import { LogTable } from "./log.ts";
import { MovesTable } from "./moves.ts";
import { ObservedTable } from "./observed.ts";
import { PartialsTable } from "./partials.ts";
import { PeersTable } from "./peers.ts";
import { PendingTable } from "./pending.ts";
import { SessionsTable } from "./sessions.ts";
import { SkippedTable } from "./skipped.ts";
import { SyncedTable } from "./synced.ts";
import { TokensTable } from "./tokens.ts";
import { TrashTable } from "./trash.ts";
import { UsersTable } from "./users.ts";

/** Everything that a home remembers: one object for each table, and the transactions that span them. */
export class Store implements Disposable {
  readonly #db: Database;
  readonly peers: PeersTable;
  readonly observed: ObservedTable;
  readonly skipped: SkippedTable;
  readonly acked: AckedTable;
  readonly pending: PendingTable;
  readonly synced: SyncedTable;
  readonly intents: IntentsTable;
  readonly invites: InvitesTable;
  readonly journals: JournalsTable;
  readonly partials: PartialsTable;
  readonly chunkLists: ChunkListsTable;
  readonly moves: MovesTable;
  readonly trash: TrashTable;
  readonly departed: DepartedTable;
  readonly log: LogTable;
  readonly audit: AuditTable;
  readonly users: UsersTable;
  readonly sessions: SessionsTable;
  readonly tokens: TokensTable;
  readonly loginFailures: LoginFailuresTable;
  readonly facts: FactsTable;

  /** @param source The SQLite file, `:memory:`, or a database that is open. */
  constructor(source: string | Database) {
    this.#db = typeof source === "string" ? new Database(source) : source;
    this.peers = new PeersTable(this.#db);
    this.observed = new ObservedTable(this.#db);
    this.skipped = new SkippedTable(this.#db);
    this.acked = new AckedTable(this.#db);
    this.pending = new PendingTable(this.#db);
    this.synced = new SyncedTable(this.#db);
    this.intents = new IntentsTable(this.#db);
    this.invites = new InvitesTable(this.#db);
    this.journals = new JournalsTable(this.#db);
    this.partials = new PartialsTable(this.#db);
    this.chunkLists = new ChunkListsTable(this.#db);
    this.moves = new MovesTable(this.#db);
    this.trash = new TrashTable(this.#db);
    this.departed = new DepartedTable(this.#db);
    this.log = new LogTable(this.#db);
    this.audit = new AuditTable(this.#db);
    this.users = new UsersTable(this.#db);
    this.sessions = new SessionsTable(this.#db);
    this.tokens = new TokensTable(this.#db);
    this.loginFailures = new LoginFailuresTable(this.#db);
    this.facts = new FactsTable(this.#db);
  }

  /** See {@linkcode Database.transaction}. */
  transaction<T>(work: () => T): T {
    return this.#db.transaction(work);
  }

  /** See {@linkcode Database.relaxedTransaction}. */
  relaxedTransaction<T>(work: () => T): T {
    return this.#db.relaxedTransaction(work);
  }

  /** See {@linkcode Database.snapshot}. */
  snapshot<T>(work: () => T): T {
    return this.#db.snapshot(work);
  }

  /** A number that changes when another process committed a change. */
  foreignChanges(): number {
    return this.#db.foreignChanges();
  }

  /** See {@linkcode Database.rest}. */
  rest(): void {
    this.#db.rest();
  }

  /** What is damaged in the file, each in a few words; empty when nothing is. Reads all of it. */
  integrityProblems(): string[] {
    return this.#db.integrityProblems();
  }

  [Symbol.dispose](): void {
    this.#db[Symbol.dispose]();
  }
}
