import assert from "node:assert/strict";
import { pause } from "../../helpers/eventually.ts";
import { type Pair, pair, type Peer } from "../../helpers/program.ts";
import { snapshot } from "../../helpers/tree.ts";
import { Prng } from "../../simulation/prng.ts";
import { WHOLE } from "./churn.ts";
import { isWhole } from "./contents.ts";
import { assertNoProblems, assertSettled, assertSound } from "./settled.ts";
import { Users } from "./users.ts";

const MOST = { files: 300, bytes: 30_000_000 };
/** A pause after each edit, on average. */
const EDIT_EVERY_MS = 40;

/** How many processes are killed, and by which seed everything is chosen. */
export interface ChaosPlan {
  readonly kills: number;
  readonly seed: number;
  /** After so many kills the users rest, everything has to settle, and is compared. */
  readonly settleEvery: number;
}

/** What came of it. */
export interface ChaosReport {
  readonly kills: number;
  readonly edits: number;
  readonly settled: number;
  /** What the processes said on stderr, without what differs from one time to the next, and how often. */
  readonly said: ReadonlyMap<string, number>;
}

type Moment = "while it starts" | "whenever" | "with something in staging";

/**
 * Kills either or both of two real peers again and again, at moments of which the seed decides, while users edit in both watched
 * folders without a rest. Real time is not the seed's: the same seed makes the same choices, not the same run.
 *
 * @throws {assert.AssertionError} when anything is not as it has to be: a process that ended by itself or does not settle, a mirror that
 * differs, a file seen half, a conflict copy, something left in staging, an unsound database.
 */
export async function chaos(plan: ChaosPlan, tell: (line: string) => void): Promise<ChaosReport> {
  await using peers = await pair({ inside: true });
  await using run = new Chaos(peers, plan);
  return await run.play(tell);
}

class Chaos implements AsyncDisposable {
  readonly #pair: Pair;
  readonly #plan: ChaosPlan;
  readonly #random: Prng;
  readonly #users: Users;
  readonly #said = new Map<string, number>();
  #kills = 0;
  #settled = 0;

  constructor(peers: Pair, plan: ChaosPlan) {
    this.#pair = peers;
    this.#plan = plan;
    this.#random = new Prng(`${plan.seed} kills`);
    this.#users = new Users([peers.a, peers.b], { seed: plan.seed, most: MOST, everyMs: EDIT_EVERY_MS });
  }

  async play(tell: (line: string) => void): Promise<ChaosReport> {
    const { a, b } = this.#pair;
    a.launch();
    b.launch();
    while (this.#kills < this.#plan.kills) {
      this.#users.work();
      const until = Math.min(this.#plan.kills, this.#kills + this.#plan.settleEvery);
      while (this.#kills < until) await this.#killAndStart();
      await this.#users.rest();
      await assertSettled(this.#pair);
      for (const peer of [a, b]) await assertNoProblems(peer);
      this.#settled++;
      tell(`${this.#kills} kills, ${this.#edits} edits: both mirrors are equal to their sources`);
    }
    for (const peer of [a, b]) {
      this.#listen(peer);
      await peer.stop();
      await assertSound(peer);
    }
    return { kills: this.#kills, edits: this.#edits, settled: this.#settled, said: this.#said };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#users[Symbol.asyncDispose]();
  }

  get #edits(): number {
    return this.#users.acts.reduce((sum, acts) => sum + acts, 0);
  }

  async #killAndStart(): Promise<void> {
    const { a, b } = this.#pair;
    const victims = this.#random.pick([[a], [a], [b], [b], [a, b]]).slice(0, this.#plan.kills - this.#kills);
    const moment = this.#random.pick<Moment>([
      ...["while it starts", "whenever", "whenever", "with something in staging"] as const,
    ]);
    const delay = this.#random.unit();
    await this.#await(moment, delay, this.#random.pick(victims));
    // Whoever was not just killed has had the time to end by itself, which nobody may.
    for (const { name, running } of [a, b]) {
      const hopeless = running!.hopeless();
      assert.equal(hopeless, null, `${name} after ${this.#kills} kills: ${hopeless}`);
    }
    await Promise.all(victims.map((victim) => victim.running!.kill()));
    this.#kills += victims.length;
    for (const victim of victims) this.#listen(victim);
    await this.#assertNothingHalf(victims);
    for (const victim of victims) {
      if (this.#random.chance(0.5)) await pause(this.#random.int(0, 700));
      await victim.kill(); // forgets the process, which has ended
      victim.launch();
    }
  }

  async #await(moment: Moment, delay: number, victim: Peer): Promise<void> {
    if (moment === "while it starts") return await pause(delay * 1000);
    if (moment === "whenever") return await pause(500 + delay * 2000);
    const staging = `${victim.synced}/.mirrorsync-staging`;
    const lookUntil = performance.now() + 3000;
    while (performance.now() < lookUntil && entries(staging) === 0) await pause(1);
    await pause(delay * 20);
  }

  /** What the users only ever save whole is whole in a mirror, too, at any moment. */
  async #assertNothingHalf(victims: readonly Peer[]): Promise<void> {
    for (const { name, synced } of victims) {
      for (const path of (await snapshot(synced, { hashes: false })).keys()) {
        if (!path.endsWith(WHOLE)) continue;
        const content = readOrNull(`${synced}/${path}`);
        assert.ok(
          content === null || isWhole(content),
          `${name} shows ${path} half, ${content?.length} bytes`,
        );
      }
    }
  }

  #listen({ name, running }: Peer): void {
    for (const line of running!.stderr.split("\n")) {
      if (line.trim() === "") continue;
      const kind = `${name}: ${
        line.replace(/^\S*\d\d:\d\d\S*\s+/, "").replace(/(?:[0-9A-F]{2}:){31}[0-9A-F]{2}/, "FINGERPRINT")
          .replace(/\d+/g, "#")
      }`;
      this.#said.set(kind, (this.#said.get(kind) ?? 0) + 1);
    }
  }
}

function entries(folder: string): number {
  try {
    return [...Deno.readDirSync(folder)].length;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

/** `null` for a folder. A victim does not run while this looks. */
function readOrNull(path: string): Uint8Array | null {
  return Deno.lstatSync(path).isFile ? Deno.readFileSync(path) : null;
}
