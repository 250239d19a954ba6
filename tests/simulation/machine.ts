import type { PeerEvent } from "../../src/domain/events.ts";
import type { IdentitySource } from "../../src/identity/identity_keeper.ts";
import { messageOf } from "../../src/domain/mirror_error.ts";
import { NO_FOLDING } from "../../src/domain/plan.ts";
import { DEFAULT_SETTINGS } from "../../src/peer/settings.ts";
import { type RunningPeer, startPeer } from "../../src/peer/peer.ts";
import { Store } from "../../src/store/store.ts";
import type { Hub } from "./hub.ts";
import { MemoryTree } from "./memory_tree.ts";
import { DeadError, type Death, type Manners, noTroubles, Process, type Troubles } from "./process.ts";
import { ProcessTree } from "./process_tree.ts";
import type { Prng } from "./prng.ts";
import type { Backup, VolatileDatabase } from "./volatile_database.ts";
import { Witness } from "./witness.ts";
import type { World } from "./world.ts";

/** When the simulated world begins, milliseconds of UTC. */
const EPOCH_MS = Date.UTC(2026, 10, 22, 10);
/** How long after the program has failed to start it is started again. */
const RETRY_START_MS = 3_000;
/** Milliseconds between two full scans: shorter than a user's, as simulated time is not free either. */
const SCAN_INTERVAL_MS = 30_000;

export interface MachineParts {
  readonly name: string;
  readonly world: World;
  readonly hub: Hub;
  readonly random: Prng;
  readonly manners: Manners;
  readonly database: VolatileDatabase;
  readonly folds: boolean;
  /** Something happened that must never happen. */
  readonly onViolation: (kind: string, message: string) => void;
  readonly onTold: (machine: string, message: string) => void;
}

/** A computer with its disks and its clock, on which the program runs now and then. */
export class Machine {
  readonly name: string;
  readonly fingerprint: string;
  /** Whether its `synced/` takes names for one that differ in case or Unicode form. */
  readonly folds: boolean;
  readonly watched: MemoryTree;
  readonly synced: MemoryTree;
  readonly database: VolatileDatabase;
  readonly store: Store;
  readonly witness: Witness;
  readonly troubles: Troubles = noTroubles();
  readonly events: PeerEvent[] = [];
  readonly #parts: MachineParts;
  wallOffsetMs = 0;
  dials = false;
  process: Process | null = null;
  running: RunningPeer | null = null;
  /** Whether the database was taken back to an earlier state, so that its log cannot tell everything. */
  wasRolledBack = false;
  /** Whether a disk has failed since the program was started: then what it could not remove from staging waits for the next start. */
  hadBadDisk = false;
  /** Whether one has ever failed. */
  everHadBadDisk = false;
  /** Whether the program is to run: a machine that is up starts it again when it fails to start. */
  isUp = false;
  #backup: Backup | null = null;
  #takesBackup = false;
  #other: Machine | null = null;
  #stopping: Promise<void> | null = null;

  constructor(parts: MachineParts) {
    this.#parts = parts;
    this.name = parts.name;
    this.folds = parts.folds;
    this.witness = new Witness(parts.folds);
    this.fingerprint = (parts.name === "anna" ? "a" : "b").repeat(64);
    const now = () => this.wallMs;
    const folding = { case: parts.folds, unicode: parts.folds };
    this.watched = new MemoryTree({ root: `/${parts.name}/watched`, now, device: 1 });
    this.synced = new MemoryTree({
      root: `/${parts.name}/synced`,
      now,
      device: 2,
      folding: parts.folds ? folding : NO_FOLDING,
    });
    this.database = parts.database;
    this.database.restore(null);
    this.store = new Store(this.database);
  }

  /** The time of its clock, milliseconds of UTC. */
  get wallMs(): number {
    return EPOCH_MS + this.#parts.world.nowMs + this.wallOffsetMs;
  }

  trust(other: Machine): void {
    this.#other = other;
    const { name, fingerprint } = other;
    this.store.peers.add({ name, fingerprint, certificatePem: "", address: null, addedMs: EPOCH_MS });
    this.#backup = this.database.backup();
  }

  start(): void {
    this.isUp = true;
    if (this.process !== null) return;
    const { world, hub, random, manners, name, onTold, onViolation } = this.#parts;
    const process = new Process({
      world,
      random,
      troubles: this.troubles,
      manners,
      wallMs: () => this.wallMs,
      onDeath: (how) => this.#died(process, how),
      onThrown: (error) => this.thrown(error),
    });
    this.process = process;
    this.hadBadDisk = world.nowMs < Math.max(this.troubles.ioUntilMs, this.troubles.fullUntilMs);
    this.database.hooks = process.databaseHooks;
    const network = hub.networkOf({ name, fingerprint: this.fingerprint, process });
    onTold(name, `starts${this.dials ? ", dials" : ""}`);
    startPeer({
      name,
      keeper: identityOf(name, this.fingerprint),
      pid: 1,
      system: "unix",
      store: this.store,
      watched: new ProcessTree(this.watched, process),
      synced: new ProcessTree(this.synced, process),
      network: {
        dial: (address, expect, signal) => network.dial(address, expect, signal),
        listen: (address, onConnection) => {
          // The recovery is done, and nothing was received yet.
          if (!this.hadBadDisk) {
            for (const broken of this.witness.broken(this.synced)) {
              onViolation("acknowledged and lost", `${name}: ${broken}`);
            }
          }
          return network.listen(address, onConnection);
        },
      },
      clock: process.clock,
      random,
      settings: {
        ...DEFAULT_SETTINGS,
        scanIntervalMs: SCAN_INTERVAL_MS,
        logDays: 1000,
        trash: manners.trash,
      },
      listen: { host: name, port: 22600 },
      dial: this.dials && this.#other !== null ? { host: this.#other.name, port: 22600 } : null,
      once: false,
      onEvent: (event) => {
        if (!process.isAlive) return;
        this.events.push(event);
        onTold(name, `says: ${event.message}`);
      },
    }).then((running) => {
      if (process.isAlive) this.running = running;
    }, (error) => {
      if (!process.isAlive) return;
      onTold(name, `could not start: ${messageOf(error)}`);
      if (world.nowMs >= Math.max(this.troubles.ioUntilMs, this.troubles.fullUntilMs)) {
        onViolation("does not start", `${name}: ${messageOf(error)}`);
      }
      this.#ended(process);
      world.after(RETRY_START_MS, () => this.isUp && this.start());
    });
  }

  /** Something was thrown where nobody catches it. */
  thrown(error: unknown): void {
    if (error instanceof DeadError) return;
    const text = error instanceof Error ? error.stack ?? error.message : String(error);
    this.#parts.onViolation("uncaught error", `${this.name}: ${text}`);
  }

  /** Ends the program cleanly. */
  async stop(): Promise<void> {
    this.isUp = false;
    const { process, running } = this;
    if (process === null) return;
    if (running === null) return process.die("killed");
    this.#parts.onTold(this.name, "stops");
    await (this.#stopping ??= running.stop().catch((error) => this.thrown(error)));
    this.#stopping = null;
    this.#ended(process);
  }

  #ended(process: Process): void {
    if (this.process !== process) return;
    process.end();
    this.#parts.hub.died(process, "killed");
    this.process = null;
    this.running = null;
  }

  kill(how: Death): void {
    this.isUp = false;
    this.process?.die(how);
    this.#stopping = null;
  }

  #died(process: Process, how: Death): void {
    if (this.process !== process) return;
    const { hub, random, manners, onTold, name } = this.#parts;
    onTold(name, how === "power" ? "loses its power" : "is killed");
    this.process = null;
    this.running = null;
    this.#stopping = null;
    this.isUp = false;
    hub.died(process, how);
    // What a dead process still holds in its hands may be in the middle of a transaction: that is rolled back where it throws.
    const survives = how === "power" ? manners.survives : 1;
    this.#lost = () => this.database.lose(random, survives);
    if (how !== "power") return;
    this.synced.cutPower(random, manners.survives);
    this.watched.cutPower(random, manners.survives);
  }

  #lost: () => void = () => {};

  /** Called when nothing of a dead process runs any more, before it is started again. */
  settleDeath(): void {
    this.#lost();
    this.#lost = () => {};
  }

  takeBackup(): void {
    this.#takesBackup = true;
    this.#backup = this.database.backup();
  }

  /** The database is replaced by the last backup; only while the program does not run. */
  rollBack(): void {
    this.settleDeath();
    this.database.restore(this.#backup);
    this.wasRolledBack = true;
    this.witness.forget();
  }

  get hasBackup(): boolean {
    return this.#takesBackup;
  }
}

/** An identity that never changes. */
function identityOf(name: string, fingerprint: string): IdentitySource {
  const current = { name, fingerprint, certificatePem: "", keyPem: "" };
  return {
    current,
    next: () => Promise.resolve(null),
    makeNext: () => Promise.resolve(current),
    take: () => Promise.resolve(),
    isDueForRenewal: () => false,
  };
}
