import { setImmediate } from "node:timers";
import { foldedPath } from "../../src/domain/plan.ts";
import { confirmHeldDeletions, readHeldDeletions } from "../../src/store/held_deletions.ts";
import { differences, isCopy, leftPending, lostContents, pictureOf, untold } from "./checks.ts";
import type { TappedHeader } from "./frame_tap.ts";
import { Hub } from "./hub.ts";
import { Machine } from "./machine.ts";
import type { MemoryTree } from "./memory_tree.ts";
import { Prng } from "./prng.ts";
import { DeadError } from "./process.ts";
import { type Happening, type Name, NAMES, otherThan, type Step, type Story, tellStep } from "./story.ts";
import { User } from "./user.ts";
import { VolatileDatabase } from "./volatile_database.ts";
import { World } from "./world.ts";

/** Something that must never happen. */
export interface Violation {
  readonly kind: string;
  readonly message: string;
}

export interface Outcome {
  /** `null`: everything was as it should be. */
  readonly violation: Violation | null;
  /** What happened, in order. Only with `trace`. */
  readonly trace: readonly string[];
  /** Counts of what happened, by kind. */
  readonly counts: ReadonlyMap<string, number>;
  readonly simulatedMs: number;
}

/** How long after the faults have stopped everything must be as it should be: longer than any retry and any full scan. */
const CONVERGENCE_MS = 15 * 60_000;
/** After that everything must still be so: journals are flushed, staging is gone. */
const REST_MS = 4_000;
/** A process that is to die does so by itself after this, if it makes no calls. */
const FUSE_MS = 2_000;

const databases: VolatileDatabase[] = [];

/** Plays a story with two whole peers. The same story gives the same outcome, always. */
export async function simulate(story: Story, options: { readonly trace?: boolean } = {}): Promise<Outcome> {
  const pair = [
    databases.pop() ?? new VolatileDatabase(),
    databases.pop() ?? new VolatileDatabase(),
  ] as const;
  const run = new Run(story, pair, options.trace ?? false);
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    run.rejected(event.reason);
  };
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    run.rejected(event.error);
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  globalThis.addEventListener("error", onError);
  try {
    await run.play();
    await new Promise<void>((resolve) => setImmediate(resolve));
    return run.outcome();
  } finally {
    globalThis.removeEventListener("unhandledrejection", onRejection);
    globalThis.removeEventListener("error", onError);
    run.end();
    databases.push(...pair);
  }
}

class Run {
  readonly #story: Story;
  readonly #world = new World();
  readonly #hub: Hub;
  readonly #random: Prng;
  readonly #machines: Readonly<Record<Name, Machine>>;
  readonly #users = new Map<string, User>();
  /** What users have changed in each `synced/`. */
  readonly #touched: Readonly<Record<Name, Set<string>>> = { anna: new Set(), bert: new Set() };
  readonly #pictures = new Map<Name, Map<string, string>>();
  /** Whoever waits for a frame; says whether it was the one. */
  #watchFor: ((from: string, to: string, header: TappedHeader) => boolean)[] = [];
  /** Moves that were asked for, by their id. */
  readonly #moves = new Map<unknown, TappedHeader>();
  readonly #trace: string[] = [];
  readonly #counts = new Map<string, number>();
  readonly #traces: boolean;
  #violation: Violation | null = null;

  constructor(story: Story, databases: readonly [VolatileDatabase, VolatileDatabase], traces: boolean) {
    this.#story = story;
    this.#traces = traces;
    const { manners, seed } = story;
    const world = this.#world;
    const random = this.#random = new Prng(`run ${seed}`);
    const hub = this.#hub = new Hub(world, random, manners.latencyMs, manners.splits);
    const machine = (name: Name, database: VolatileDatabase, folds: boolean) =>
      new Machine({
        ...{ name, world, hub, random, manners, database, folds },
        onViolation: (kind, message) => this.#violate(kind, message),
        onTold: (who, message) => this.#tell(`${who} ${message}`),
      });
    const anna = machine("anna", databases[0], manners.foldsOnAnna);
    const bert = machine("bert", databases[1], manners.foldsOnBert);
    this.#machines = { anna, bert };
    anna.trust(bert);
    bert.trust(anna);
    hub.onFrame = (from, to, header) => {
      this.#watchFor = this.#watchFor.filter((sees) => !sees(from, to, header));
      if ("action" in header) this.#machines[to as Name].witness.requested(header);
      else this.#machines[from as Name].witness.answered(header);
      this.#followMove(from as Name, header);
      if (this.#traces && "path" in header) {
        this.#tell(
          `${from} writes ${header["action"]} ${header["path"]} ${String(header["id"]).slice(0, 6)} ${
            String(header["hash"]).slice(0, 8)
          }`,
        );
      } else if (this.#traces && "status" in header) {
        this.#tell(
          `${from} answers ${header["status"]} ${String(header["id"]).slice(0, 6)} ${header["code"] ?? ""}`,
        );
      }
    };
    for (const name of NAMES) {
      for (const side of ["watched", "synced"] as const) {
        this.#users.set(
          `${name} ${side}`,
          new User({
            tree: this.#machines[name][side],
            world,
            label: `${name} ${side} ${seed}`,
            flushesDeletions: side === "watched",
            onTouched: (path) => {
              if (side === "watched") {
                this.#pictures.set(name, pictureOf(this.#machines[name].watched));
                return;
              }
              this.#machines[name].witness.touched(path);
              this.#touched[name].add(path);
            },
            onMistake: (error) => this.#violate("mistake of the simulation", String(error)),
          }),
        );
      }
    }
  }

  outcome(): Outcome {
    return {
      violation: this.#violation,
      trace: this.#trace,
      counts: this.#counts,
      simulatedMs: this.#world.nowMs,
    };
  }

  rejected(reason: unknown): void {
    if (reason instanceof DeadError) return;
    this.#violate(
      "unhandled rejection",
      reason instanceof Error ? reason.stack ?? reason.message : String(reason),
    );
  }

  /** Nothing of it happens any more. */
  end(): void {
    for (const name of NAMES) this.#machines[name].kill("killed");
  }

  async play(): Promise<void> {
    const { steps, dialler, lastCut } = this.#story;
    this.#setDialler(dialler);
    for (const step of steps.filter(({ atMs }) => atMs < 0)) this.#take(step);
    for (const name of NAMES) this.#machines[name].start();
    let lastMs = 0;
    for (const step of steps.filter(({ atMs }) => atMs >= 0)) {
      lastMs = Math.max(lastMs, step.atMs);
      this.#world.after(step.atMs, () => this.#take(step));
    }
    // Until the last fault has ended and everybody is back.
    await this.#until(() => false, lastMs + FUSE_MS + 500);
    await this.#converge("the faults have stopped");
    if (!lastCut || this.#violation !== null) return;
    const copies = this.#copies();
    for (const name of NAMES) this.#machines[name].kill("power");
    await this.#until(() => false, this.#world.nowMs + 100);
    await this.#converge("the power was cut at rest");
    if (this.#violation === null && this.#copies() !== copies) {
      this.#violate(
        "copies without an edit",
        `the power was cut at rest. Before: ${copies}. After: ${this.#copies()}`,
      );
    }
  }

  #copies(): string {
    return NAMES.flatMap((name) =>
      [...this.#machines[name].synced.all()].filter(([path]) => isCopy(path)).map(([path]) =>
        `${path} on ${name}`
      )
    ).join(", ");
  }

  /** Ends all faults, and waits until both mirrors equal their sources. */
  async #converge(since: string): Promise<void> {
    if (this.#violation !== null) return;
    this.#tell(`--- ${since}`);
    this.#hub.downUntilMs = 0;
    this.#hub.spoils.clear();
    this.#watchFor = [];
    for (const name of NAMES) {
      const machine = this.#machines[name];
      Object.assign(machine.troubles, {
        ...{ ioUntilMs: 0, fullUntilMs: 0, slowUntilMs: 0, watcherUntilMs: 0, fuse: null, meddler: null },
      });
      if (machine.hadBadDisk && machine.running !== null) {
        void machine.stop().then(() => this.#start(machine));
      } else this.#start(machine);
    }
    // What users have changed in synced/ is looked for at each new link.
    this.#hub.cut("reset");
    const endMs = this.#world.nowMs + CONVERGENCE_MS;
    let open: string[] = [];
    while (this.#violation === null && this.#world.nowMs < endMs) {
      await this.#until(() => false, this.#world.nowMs + 1000);
      open = this.#open();
      for (const name of NAMES) {
        if (open.length === 0) continue;
        this.#confirm(name);
        this.#clearTheWay(name);
      }
      if (open.length > 0) continue;
      await this.#until(() => false, this.#world.nowMs + REST_MS);
      open = [...this.#open(), ...this.#unequal()];
      if (open.length === 0) break;
    }
    if (this.#violation !== null) return;
    if (open.length === 0) open = this.#unequal();
    if (open.length > 0) return this.#violate("no convergence", open.slice(0, 8).join("\n"));
    for (const name of NAMES) {
      this.#checkWatched(name);
      const sender = this.#users.get(`${otherThan(name)} watched`)!;
      // What a user has saved here byte for byte as the peer has sent it counts as the peer's.
      const kept = [...this.#users.get(`${name} synced`)!.kept].filter(([hash]) => !sender.saved.has(hash));
      const lost = lostContents(this.#machines[name].synced, kept);
      if (lost.length > 0) this.#violate("a user's bytes are lost", lost.join("\n"));
    }
    const { anna, bert } = this.#machines;
    const silent = [...untold(anna, bert), ...untold(bert, anna)];
    if (silent.length > 0) this.#violate("the log does not tell", silent.join("\n"));
  }

  /** A user is told that deletions wait for a word, and gives it: everything here was deleted on purpose. */
  #confirm(on: Name): void {
    const { store, database, wallMs, running } = this.#machines[on];
    if (running === null) return;
    for (const peer of store.peers.list()) {
      if (readHeldDeletions(store, peer.number).length === 0) continue;
      this.#count("confirmed deletions");
      this.#tell(`a user on ${on} confirms deletions`);
      database.asAnotherProcess(() => confirmHeldDeletions(store, peer, wallMs));
    }
  }

  /**
   * A user who has put something where the peer's file or folder must be reads why it waits, and moves it away. One who has given two
   * things names that the peer's disk takes for one reads that, and renames one of them.
   */
  #clearTheWay(on: Name): void {
    const { synced, folds } = this.#machines[on];
    const spelt = (path: string) => foldedPath(path, { case: folds, unicode: folds });
    const sender = this.#machines[otherThan(on)];
    if (sender.running === null) return; // it has just been told to stop, or begins again: there is nobody to be asked
    for (const { number } of sender.store.peers.list()) {
      for (const { path, code } of sender.store.pending.list(number)) {
        if (code === "unsupported_name" && hasTwin(sender.watched, path, spelt)) {
          this.#count("renamed twins");
          this.#tell(this.#users.get(`${sender.name} watched`)!.moveAway(path));
          continue;
        }
        const obstacle = code === "folder_in_the_way" || code === "folder_not_empty"
          ? path
          : code === "parent_is_file" || code === "not_owned"
          ? fileAbove(synced, path)
          : null;
        if (obstacle === null || synced.nodeAt(obstacle) === null) continue;
        const at = spelt(obstacle);
        const own = [...this.#touched[on]].map(spelt).some((touched) =>
          touched === at || touched.startsWith(`${at}/`) || at.startsWith(`${touched}/`)
        );
        // What a machine does not know any more whose it is, is for its user to move away too; so is what it has kept because a failing
        // disk did not let it find out whether it was edited.
        const { wasRolledBack, everHadBadDisk } = this.#machines[on];
        const isKept = everHadBadDisk && [...synced.all(obstacle)].some(([path]) => isCopy(path));
        if (!own && !wasRolledBack && !isKept) continue;
        this.#count("cleared the way");
        this.#tell(this.#users.get(`${on} synced`)!.moveAway(obstacle));
      }
    }
  }

  /** What is still to be done, as the program itself sees it. */
  #open(): string[] {
    return NAMES.flatMap((name) => {
      const machine = this.#machines[name];
      if (machine.running === null) return [`${name} does not run`];
      const [status] = machine.running.status().peers;
      const pending = leftPending(machine);
      return status!.inSync
        ? pending
        : [`${name} is not in sync (link ${status!.link}: ${status!.reason})`, ...pending];
    });
  }

  #unequal(): string[] {
    const { anna, bert } = this.#machines;
    return [...differences(anna, bert, this.#touched.bert), ...differences(bert, anna, this.#touched.anna)];
  }

  async #until(isDone: () => boolean, untilMs: number): Promise<void> {
    await this.#world.run(() => this.#violation !== null || isDone(), untilMs);
  }

  #violate(kind: string, message: string): void {
    this.#tell(`VIOLATION ${kind}: ${message}`);
    this.#violation ??= { kind, message };
  }

  #tell(message: string): void {
    if (this.#traces) this.#trace.push(`${this.#world.nowMs.toFixed(1).padStart(10)}  ${message}`);
  }

  #count(kind: string): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
  }

  /** What a user put into a folder just as that was moved has gone with it. */
  #followMove(writer: Name, header: TappedHeader): void {
    if (header["action"] === "move") this.#moves.set(header["id"], header);
    const move = header["status"] === "ok" ? this.#moves.get(header["id"]) : undefined;
    if (move === undefined) return;
    const [from, to] = [String(move["from"]), String(move["path"])];
    const touched = this.#touched[writer];
    for (const path of [...touched]) {
      if (path.startsWith(`${from}/`)) touched.add(to + path.slice(from.length));
    }
  }

  #setDialler(dialler: Name | "both"): void {
    for (const name of NAMES) this.#machines[name].dials = dialler === "both" || dialler === name;
  }

  #start(machine: Machine): void {
    machine.settleDeath();
    machine.start();
  }

  #take(step: Step): void {
    if (this.#violation !== null) return;
    this.#count(step.happens.kind);
    if (step.happens.kind !== "user") this.#tell(tellStep(step));
    this.#happen(step, step.happens);
  }

  #happen(step: Step, happens: Happening): void {
    const { nowMs } = this.#world;
    switch (happens.kind) {
      case "user":
        return this.#userActs(step, happens);
      case "both delete":
        return this.#bothDelete(step, happens.on);
      case "cut":
        return this.#hub.cut(happens.how);
      case "cut at the end":
        this.#watchFor.push((from, _to, header) => {
          if (from !== happens.from || header["pieces"] !== true) return false;
          this.#world.after(happens.afterMs, () => this.#hub.cut(happens.how));
          return true;
        });
        return;
      case "kill at the commit":
        this.#watchFor.push((_from, to, header) => {
          if (to !== happens.on || header["action"] !== "update") return false;
          this.#kill({ ...happens, kind: "kill", upAfterMs: 200, rollBack: false });
          return true;
        });
        return;
      case "edit at the commit":
        this.#machines[happens.on].troubles.meddler = {
          tree: this.#machines[happens.on].synced,
          left: happens.calls,
          path: null,
          edit: (path) => this.#edit(step, happens.on, path),
        };
        return;
      case "cut later":
        return this.#hub.cutAfter(happens.from, happens.bytes, happens.how);
      case "down":
        this.#hub.downHow = happens.how;
        this.#hub.downUntilMs = nowMs + happens.forMs;
        return this.#hub.cut(happens.how);
      case "kill":
        return this.#kill(happens);
      case "restart": {
        const machine = this.#machines[happens.on];
        if (!machine.isUp) return;
        void machine.stop().then(() => this.#comeBack(machine, happens.upAfterMs, happens.rollBack));
        return;
      }
      case "swap dialler":
        this.#setDialler(happens.dialler);
        for (const name of NAMES) {
          const machine = this.#machines[name];
          if (happens.how !== "stopped") machine.kill(happens.how);
          void machine.stop().then(() => this.#comeBack(machine, 50, false));
        }
        return;
      case "backup":
        this.#machines[happens.on].settleDeath();
        return this.#machines[happens.on].takeBackup();
      case "io errors": {
        const { troubles } = this.#machines[happens.on];
        this.#machines[happens.on].hadBadDisk = this.#machines[happens.on].everHadBadDisk = true;
        troubles.ioUntilMs = nowMs + happens.forMs;
        troubles.ioProbability = happens.probability;
        return;
      }
      case "full disk":
        this.#machines[happens.on].hadBadDisk = this.#machines[happens.on].everHadBadDisk = true;
        this.#machines[happens.on].troubles.fullUntilMs = nowMs + happens.forMs;
        return;
      case "slow disk":
        this.#machines[happens.on].troubles.slowUntilMs = nowMs + happens.forMs;
        return;
      case "watcher": {
        const { troubles } = this.#machines[happens.on];
        troubles.watcher = happens.mode;
        troubles.watcherUntilMs = nowMs + happens.forMs;
        return;
      }
      case "clock":
        this.#machines[happens.on].wallOffsetMs += happens.byMs;
        return;
      case "spoil":
        this.#hub.spoils.add(happens.on);
        return;
    }
  }

  #userActs(step: Step, { on, side, action }: Extract<Happening, { kind: "user" }>): void {
    if (side === "watched") this.#checkWatched(on);
    const user = this.#users.get(`${on} ${side}`)!;
    const told = user.act(action, new Prng(`step ${this.#story.seed} ${step.number}`));
    if (told !== "") this.#tell(`#${step.number} a user on ${on} ${told} in ${side}/`);
  }

  #edit(step: Step, on: Name, path: string): void {
    const random = new Prng(`step ${this.#story.seed} ${step.number}`);
    const told = this.#users.get(`${on} synced`)!.editFile(path, random);
    if (told !== "") {
      this.#tell(`#${step.number} a user on ${on} ${told} in synced/ while the program works on it`);
    }
  }

  #bothDelete(step: Step, on: Name): void {
    const from = otherThan(on);
    this.#checkWatched(from);
    const { synced } = this.#machines[on];
    const touched = this.#touched[on];
    const both = [...this.#machines[from].watched.all()].map(([path]) => path)
      .filter((path) => synced.nodeAt(path)?.kind === "file" && !touched.has(path));
    if (both.length === 0) return;
    const path = new Prng(`step ${this.#story.seed} ${step.number}`).pick(both);
    for (const user of [`${on} synced`, `${from} watched`]) this.#users.get(user)!.deleteFile(path);
    // Nothing of this computer's user may be there now.
    touched.delete(path);
    this.#tell(`${path} is deleted in ${from}'s watched/ and in ${on}'s synced/`);
  }

  /** Nothing but its user changes a watched folder. */
  #checkWatched(name: Name): void {
    const before = this.#pictures.get(name);
    if (before === undefined) return;
    const now = pictureOf(this.#machines[name].watched);
    for (const path of new Set([...before.keys(), ...now.keys()])) {
      if (before.get(path) === now.get(path)) continue;
      this.#violate(
        "watched/ was changed",
        `${path} on ${name}: ${before.get(path)} became ${now.get(path)}`,
      );
    }
  }

  #kill({ on, how, calls, upAfterMs, rollBack }: Extract<Happening, { kind: "kill" }>): void {
    const machine = this.#machines[on];
    const { process } = machine;
    if (process === null) return;
    machine.troubles.fuse = { left: calls, how };
    const look = (tries: number) => {
      if (process.isAlive && tries > 0) return void this.#world.after(FUSE_MS / 50, () => look(tries - 1));
      if (process.isAlive) {
        machine.troubles.fuse = null;
        machine.kill(how);
      }
      this.#comeBack(machine, upAfterMs, rollBack);
    };
    look(50);
  }

  #comeBack(machine: Machine, afterMs: number, rollBack: boolean): void {
    this.#world.after(afterMs, () => {
      if (machine.process !== null) return;
      if (rollBack) machine.rollBack();
      this.#start(machine);
    });
  }
}

/** Whether something beside what is at a path has a name that a disk takes for the same. */
function hasTwin(tree: MemoryTree, path: string, spelt: (path: string) => string): boolean {
  const slash = path.lastIndexOf("/");
  const folder = tree.nodeAt(path.slice(0, Math.max(0, slash)));
  const name = path.slice(slash + 1);
  if (folder?.kind !== "folder" || !folder.entries.has(name)) return false;
  return [...folder.entries.keys()].some((other) => other !== name && spelt(other) === spelt(name));
}

/** The file on the way to a path, or at it. */
function fileAbove(tree: MemoryTree, path: string): string | null {
  const names = path.split("/");
  for (let i = 1; i <= names.length; i++) {
    const at = names.slice(0, i).join("/");
    if (tree.nodeAt(at)?.kind === "file") return at;
  }
  return null;
}
