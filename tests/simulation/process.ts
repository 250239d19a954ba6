import { type Clock, FileError } from "../../src/domain/ports.ts";
import type { DatabaseHooks } from "./volatile_database.ts";
import type { MemoryTree } from "./memory_tree.ts";
import type { Prng } from "./prng.ts";
import type { World } from "./world.ts";

/** How a process ends: killed, or with the power of its machine. */
export type Death = "killed" | "power";

/** What is wrong with a machine at present; everything until a time of the world. */
export interface Troubles {
  ioUntilMs: number;
  ioProbability: number;
  fullUntilMs: number;
  slowUntilMs: number;
  watcherUntilMs: number;
  watcher: "drops" | "delays" | "overflows" | "breaks";
  /** The process dies when so many more calls were made; `null` for never. */
  fuse: { left: number; readonly how: Death } | null;
  /** A user who edits the next file of a folder that the process puts in place, reads to its end, or dates, so many calls after that. */
  meddler: {
    readonly tree: MemoryTree;
    left: number;
    path: string | null;
    readonly edit: (path: string) => void;
  } | null;
}

export function noTroubles(): Troubles {
  return {
    ioUntilMs: 0,
    ioProbability: 0,
    fullUntilMs: 0,
    slowUntilMs: 0,
    watcherUntilMs: 0,
    watcher: "drops",
    fuse: null,
    meddler: null,
  };
}

/** How a world is made, apart from what happens in it. */
export interface Manners {
  /** How likely a call of the file system takes time, and how long at most. */
  readonly slowCalls: number;
  readonly slowestCallMs: number;
  /** How likely what was not flushed survives a loss of power. */
  readonly survives: number;
  readonly latencyMs: number;
  /** How likely bytes are delivered in parts. */
  readonly splits: number;
  /** Whether what a peer deletes or replaces goes to the trash. */
  readonly trash: boolean;
  readonly foldsOnAnna: boolean;
  readonly foldsOnBert: boolean;
}

/** Thrown into a process that is dead, where it cannot be made to wait for ever. */
export class DeadError extends Error {}

/** Nothing follows: the process that waits for it is dead. */
export function never(): Promise<never> {
  return new Promise(() => {});
}

/** One run of the program on a machine: what it is handed works as long as it lives. */
export class Process {
  isAlive = true;
  readonly clock: Clock;
  readonly random: Prng;
  readonly world: World;
  readonly troubles: Troubles;
  readonly manners: Manners;
  readonly #onDeath: (how: Death) => void;
  readonly #onThrown: (error: unknown) => void;

  constructor(parts: {
    readonly world: World;
    readonly random: Prng;
    readonly troubles: Troubles;
    readonly manners: Manners;
    readonly wallMs: () => number;
    readonly onDeath: (how: Death) => void;
    /** A callback of the clock threw: the real process would have ended. */
    readonly onThrown: (error: unknown) => void;
  }) {
    const { world } = parts;
    this.world = world;
    this.random = parts.random;
    this.troubles = parts.troubles;
    this.manners = parts.manners;
    this.#onDeath = parts.onDeath;
    this.#onThrown = parts.onThrown;
    this.clock = {
      now: () => Math.floor(parts.wallMs()),
      monotonic: () => world.nowMs,
      after: (delayMs, callback) => this.#after(delayMs, callback),
    };
  }

  #after(delayMs: number, callback: () => void): () => void {
    // A timer is never early, and mostly a little late.
    return this.world.after(delayMs + this.random.unit() * 0.3, () => {
      if (!this.isAlive) return;
      try {
        callback();
      } catch (error) {
        if (this.isAlive) this.#onThrown(error);
      }
    });
  }

  /** Called wherever the process could be killed; tells whether it is dead. */
  reached(): boolean {
    this.world.activity++;
    if (!this.isAlive) return true;
    const { fuse, meddler } = this.troubles;
    if (meddler !== null && meddler.path !== null && --meddler.left <= 0) {
      this.troubles.meddler = null;
      meddler.edit(meddler.path);
    }
    if (fuse === null || --fuse.left > 0) return false;
    this.troubles.fuse = null;
    this.die(fuse.how);
    return true;
  }

  /** The process is busy with a path. */
  handled(tree: MemoryTree, path: string): void {
    const { meddler } = this.troubles;
    if (meddler?.tree === tree) meddler.path ??= path;
  }

  die(how: Death): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    this.#onDeath(how);
  }

  /** The program has ended by itself. */
  end(): void {
    this.isAlive = false;
  }

  /** Waits as long as a call of the disk takes; not at all, mostly. */
  diskDelay(isFlush: boolean): Promise<void> | null {
    const { world, random, manners, troubles } = this;
    const slow = world.nowMs < troubles.slowUntilMs;
    if (!slow && !isFlush && !random.chance(manners.slowCalls)) return null;
    const delayMs = random.unit() * manners.slowestCallMs * (slow ? 20 : 1);
    return new Promise((resolve) =>
      world.after(delayMs, () => {
        if (this.isAlive) resolve();
      })
    );
  }

  /** What the disk says to a call, if it refuses. */
  diskFault(method: string, path: string): FileError | null {
    const { world, random, troubles } = this;
    if (world.nowMs < troubles.fullUntilMs && FILLS.has(method) && random.chance(0.8)) {
      return new FileError("no_space", `cannot ${method} ${path}: the disk is full`);
    }
    if (world.nowMs < troubles.ioUntilMs && random.chance(troubles.ioProbability)) {
      const code = random.pick(["io", "io", "denied"] as const);
      return new FileError(code, `cannot ${method} ${path}: the disk reports an input/output error`);
    }
    return null;
  }

  readonly databaseHooks: DatabaseHooks = {
    begins: () => {
      if (!this.isAlive) throw new DeadError();
    },
    commits: () => {
      if (this.reached()) throw new DeadError();
    },
    committed: () => {
      if (this.reached()) throw new DeadError();
    },
  };
}

const FILLS: ReadonlySet<string> = new Set(["create", "write", "mkdir", "link"]);
