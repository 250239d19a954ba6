import assert from "node:assert/strict";
import { STAGING_FOLDER } from "../../../src/domain/relative_path.ts";
import { formatTimestamp } from "../../../src/domain/timestamp.ts";
import { VERIFY_FACTS } from "../../../src/verify/result.ts";
import { Machine } from "../../simulation/machine.ts";
import type { Manners } from "../../simulation/process.ts";
import { Prng } from "../../simulation/prng.ts";
import type { VolatileDatabase } from "../../simulation/volatile_database.ts";
import { World } from "../../simulation/world.ts";
import { TappedHub } from "./tapped_hub.ts";

const MANNERS: Manners = {
  slowCalls: 0,
  slowestCallMs: 1,
  survives: 1,
  latencyMs: 1,
  splits: 0,
  trash: true,
  foldsOnAnna: false,
  foldsOnBert: false,
};

/** Above this a file travels in pieces. */
const LARGE_BYTES = 300 * 1024;

/** Two whole peers, the real code from `peer/` down, that do everything which makes them talk: the same each time for a seed. */
export class TwoPeers {
  readonly world = new World();
  readonly hub: TappedHub;
  readonly anna: Machine;
  readonly bert: Machine;
  /** What must never happen: an error that nobody has caught, a start that fails. */
  readonly violations: string[] = [];
  readonly #random: Prng;
  /** What somebody has put into bert's `synced/` by hand. */
  readonly #own: Uint8Array;

  constructor(seed: string, databases: readonly [VolatileDatabase, VolatileDatabase]) {
    const random = this.#random = new Prng(seed);
    this.#own = text(random, 500);
    const hub = this.hub = new TappedHub(this.world, random, MANNERS.latencyMs, 0);
    const machine = (name: string, database: VolatileDatabase) =>
      new Machine({
        ...{ name, world: this.world, hub, random, manners: MANNERS, database, folds: false },
        onViolation: (kind, message) => this.violations.push(`${kind}: ${message}`),
        onTold: () => {},
      });
    this.anna = machine("anna", databases[0]);
    this.bert = machine("bert", databases[1]);
    this.anna.trust(this.bert);
    this.bert.trust(this.anna);
    this.anna.dials = true;
  }

  /** Everything that two peers have to say to each other. */
  async converse(onMoment: () => void = () => {}): Promise<void> {
    const { anna, bert, world } = this;
    const random = this.#random;
    const large = text(random, LARGE_BYTES);
    const noise = random.bytes(LARGE_BYTES);
    const pass = async (ms: number) => {
      for (let passed = 0; passed < ms; passed += 50) {
        await world.pass(50);
        onMoment();
      }
    };
    // Somebody's own file lies where a large one is to go: what is there is offered to be built on.
    bert.synced.save("remnant.txt", changed(large, random));
    bert.synced.save("mine.txt", this.#own);
    for (let i = 0; i < 40; i++) await folderOf(anna.watched, `many/of-${i}.txt`, text(random, 100 + i * 50));
    anna.watched.save("remnant.txt", large);
    anna.watched.save("noise.bin", noise);
    await folderOf(bert.watched, "sub/deep/ö.txt", text(random, 3_000));
    anna.start();
    bert.start();
    await pass(4_000);
    // A change in the middle travels as a recipe; a copy as an offer; the rest as what it is.
    anna.watched.save("remnant.txt", changed(large, random));
    anna.watched.save("copy.bin", noise);
    await anna.watched.setExecutable("many/of-1.txt", true);
    await anna.watched.rename("many/of-2.txt", "moved.txt");
    await anna.watched.unlink("many/of-3.txt");
    anna.watched.save("many/of-4.txt", new Uint8Array(0));
    await pass(3_000);
    // What bert holds is not what anna believes: the base is missing, the trees differ.
    bert.synced.save("noise.bin", changed(noise, random));
    anna.watched.save("noise.bin", changed(noise, random));
    await bert.synced.unlink("copy.bin").catch(ignore);
    await pass(2_000);
    // The link is cut in the middle of a large file, and comes back.
    anna.watched.save("remnant.txt", text(random, 3 * LARGE_BYTES));
    this.hub.cutAfter("anna", 150_000, "reset");
    await pass(4_000);
    // A disk has spoiled a file on each side, and somebody asks whether all is well.
    spoil(bert.synced, "remnant.txt");
    spoil(anna.watched, "many/of-5.txt");
    for (const machine of [anna, bert]) {
      machine.database.asAnotherProcess(() =>
        machine.store.facts.set(`${VERIFY_FACTS}1`, { state: "asked", repair: true })
      );
    }
    await pass(5_000);
    for (const machine of [anna, bert]) void machine.stop();
    await pass(1_000);
  }

  /** Nothing of it happens any more. */
  end(): void {
    for (const machine of [this.anna, this.bert]) machine.kill("killed");
  }

  /** Whether what somebody has put into `synced/` by hand is still there, under whatever name. */
  hasOwnFile(): boolean {
    const own = this.#own.toHex();
    return [...this.bert.synced.all()].some(([, node]) =>
      node.kind === "file" && node.content.toHex() === own
    );
  }

  /** The journals that are in staging at this moment. */
  *journals(): IterableIterator<Uint8Array> {
    for (const { synced } of [this.anna, this.bert]) {
      for (const [path, node] of synced.all(STAGING_FOLDER)) {
        if (node.kind === "file" && path.includes("/journal-")) yield node.content.slice();
      }
    }
  }
}

function ignore(): void {}

async function folderOf(tree: Machine["watched"], path: string, content: Uint8Array): Promise<void> {
  const names = path.split("/").slice(0, -1);
  for (let i = 1; i <= names.length; i++) {
    const folder = names.slice(0, i).join("/");
    if (tree.nodeAt(folder) === null) await tree.mkdir(folder);
  }
  tree.save(path, content);
}

/** Text that packs well, so that it travels packed. */
function text(random: Prng, sizeBytes: number): Uint8Array {
  const lines: string[] = [];
  for (let bytes = 0; bytes < sizeBytes;) {
    const line = `${formatTimestamp(random.int(0, 4e12))} ${random.pick(WORDS)} ${random.pick(WORDS)} ${
      random.int(0, 999)
    }\n`;
    bytes += line.length;
    lines.push(line);
  }
  return new TextEncoder().encode(lines.join("")).subarray(0, sizeBytes);
}

const WORDS = ["the", "mirror", "shows", "what", "is", "saved", "nothing", "more", "less", "ever"] as const;

/** The same with a few lines of it changed, one put in, and something at its end. */
function changed(content: Uint8Array, random: Prng): Uint8Array {
  const at = random.int(1000, content.length - 1000);
  const put = text(random, random.int(1, 400));
  const all = new Uint8Array(content.length + put.length);
  all.set(content.subarray(0, at));
  all.set(put, at);
  all.set(content.subarray(at), at + put.length);
  return all;
}

/** A byte changes on the disk, and no stat tells. */
function spoil(tree: Machine["watched"], path: string): void {
  const node = tree.nodeAt(path);
  if (node?.kind !== "file") return;
  assert(node.content.length > 0);
  const content = node.content.slice();
  content[content.length >> 1]! ^= 1;
  node.content = content;
}
