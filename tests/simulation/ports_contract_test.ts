import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { ensureIdentity } from "../../src/identity/identity.ts";
import { TlsNetwork } from "../../src/link/tls_network.ts";
import { Database } from "../../src/store/database.ts";
import { DiskTree } from "../../src/system/disk_tree.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { SystemRandom } from "../../src/system/system_random.ts";
import { tempFolder } from "../receive/support.ts";
import { Hub } from "./hub.ts";
import { MemoryTree } from "./memory_tree.ts";
import {
  CLOCK_CONTRACT,
  type Contract,
  NETWORK_CONTRACT,
  type NetworkUnderTest,
  RANDOM_CONTRACT,
  TREE_CONTRACT,
} from "./ports_contract.ts";
import { Prng } from "./prng.ts";
import { noTroubles, Process } from "./process.ts";
import { ProcessTree } from "./process_tree.ts";
import { VolatileDatabase } from "./volatile_database.ts";
import { World } from "./world.ts";

const MANNERS = {
  ...{ slowCalls: 0.3, slowestCallMs: 5, survives: 0, latencyMs: 5, splits: 0.3, trash: true },
  ...{ foldsOnAnna: false, foldsOnBert: false },
};

/** Runs a contract on a port that is made anew for each of its checks. */
function keeps<T>(
  who: string,
  contract: Contract<T>,
  make: () => Promise<AsyncDisposable & { port: T }>,
): void {
  for (const [name, check] of contract) {
    Deno.test(`${who}: ${name}`, async () => {
      await using made = await make();
      await check(made.port);
    });
  }
}

function simply<T>(port: T): Promise<AsyncDisposable & { port: T }> {
  return Promise.resolve({ port, [Symbol.asyncDispose]: () => Promise.resolve() });
}

const realPass = () => setTimeout(5);

function processIn(world: World): Process {
  return new Process({
    world,
    random: new Prng("contract"),
    troubles: noTroubles(),
    manners: MANNERS,
    wallMs: () => Date.UTC(2026, 10, 22) + world.nowMs,
    onDeath: () => {},
    onThrown: (error) => {
      throw error;
    },
  });
}

/** A promise of the simulation comes to its end only as its world goes on. */
function inTime<T extends object>(world: World, port: T): T {
  return new Proxy(port, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        const result: unknown = value.apply(target, args);
        return result instanceof Promise ? passing(world, result) : result;
      };
    },
  });
}

async function passing(world: World, work: Promise<unknown>): Promise<unknown> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  work.then(over, over);
  while (!isOver) await world.pass(1);
  const result = await work;
  const isHandle = typeof result === "object" && result !== null && "stat" in result && "close" in result;
  return isHandle ? inTime(world, result) : result;
}

keeps("a folder of the disk", TREE_CONTRACT, async () => {
  const temp = await tempFolder();
  return {
    port: { tree: new DiskTree(temp.path), pass: realPass },
    [Symbol.asyncDispose]: () => temp[Symbol.asyncDispose](),
  };
});

keeps(
  "a folder in memory",
  TREE_CONTRACT,
  () =>
    simply({
      tree: new MemoryTree({ root: "/memory", now: () => Date.now() }),
      pass: () => Promise.resolve(),
    }),
);

keeps("a folder in memory, as a process sees it", TREE_CONTRACT, () => {
  const world = new World();
  const inner = new MemoryTree({ root: "/memory", now: () => Date.UTC(2026, 10, 22) + world.nowMs });
  const tree = inTime(world, new ProcessTree(inner, processIn(world)));
  return simply({ tree, pass: () => world.pass(1) });
});

keeps("the system's clock", CLOCK_CONTRACT, () => simply({ clock: new SystemClock(), pass: realPass }));

keeps("a simulated clock", CLOCK_CONTRACT, () => {
  const world = new World();
  return simply({ clock: processIn(world).clock, pass: () => world.pass(1) });
});

keeps("the system's randomness", RANDOM_CONTRACT, () => simply(new SystemRandom()));
keeps("randomness from a seed", RANDOM_CONTRACT, () => simply(new Prng(1)));

keeps("TLS", NETWORK_CONTRACT, async () => {
  const temp = await tempFolder();
  const [anna, bert] = await Promise.all([
    ensureIdentity(`${temp.path}/anna`, "anna"),
    ensureIdentity(`${temp.path}/bert`, "bert"),
  ]);
  const clock = new SystemClock();
  const port: NetworkUnderTest = {
    here: new TlsNetwork({ identity: () => anna, trusted: () => [bert], clock }),
    there: new TlsNetwork({ identity: () => bert, trusted: () => [anna], clock }),
    hereFingerprint: anna.fingerprint,
    thereFingerprint: bert.fingerprint,
    listenAt: { host: "127.0.0.1", port: 0 },
    pass: realPass,
  };
  return { port, [Symbol.asyncDispose]: () => temp[Symbol.asyncDispose]() };
});

keeps("the simulated network", NETWORK_CONTRACT, () => {
  const world = new World();
  const hub = new Hub(world, new Prng("hub"), MANNERS.latencyMs, MANNERS.splits);
  const end = (name: string, fingerprint: string) =>
    hub.networkOf({ name, fingerprint, process: processIn(world) });
  return simply({
    here: end("anna", "a".repeat(64)),
    there: end("bert", "b".repeat(64)),
    hereFingerprint: "a".repeat(64),
    thereFingerprint: "b".repeat(64),
    listenAt: { host: "bert", port: 22600 },
    pass: () => world.pass(1),
  });
});

const DATABASE_CONTRACT: Contract<Database> = [
  ["a transaction is undone when it throws, as a whole; one inside another joins it", (db) => {
    const count = () => Number(db.get("SELECT count(*) AS n FROM facts")!["n"]);
    const add = (key: string) => db.run("INSERT INTO facts VALUES (?, '1')", key);
    for (const kind of ["transaction", "relaxedTransaction"] as const) {
      const before = count();
      assert.throws(() =>
        db[kind](() => {
          add(`${kind} lost`);
          db.transaction(() => add(`${kind} lost too`));
          throw new Error("undo");
        }), /undo/);
      assert.equal(count(), before);
      assert.equal(db[kind](() => db.relaxedTransaction(() => add(`${kind} kept`))), 1);
      assert.equal(count(), before + 1);
    }
    assert.equal(db.snapshot(() => count()), 2);
    assert.equal(db.all("SELECT * FROM facts ORDER BY key").length, 2);
    return Promise.resolve();
  }],
];

keeps("a database", DATABASE_CONTRACT, () => simply(new Database(":memory:")));
keeps("a database that forgets", DATABASE_CONTRACT, () => simply(new VolatileDatabase()));

Deno.test("a database that forgets loses relaxed transactions alone, the last ones first, each as a whole", () => {
  const db = new VolatileDatabase();
  const add = (key: string) => db.run("INSERT INTO facts VALUES (?, '1')", key);
  const keys = () => db.all("SELECT key FROM facts ORDER BY key").map((row) => row["key"]);
  db.relaxedTransaction(() => add("a"));
  db.transaction(() => add("b"));
  db.relaxedTransaction(() => {
    add("c");
    add("d");
  });
  db.relaxedTransaction(() => add("e"));
  const backup = db.backup();
  db.lose(new Prng(1), 0);
  assert.deepEqual(keys(), ["a", "b"]);
  db.restore(backup);
  assert.deepEqual(keys(), ["a", "b", "c", "d", "e"]);
});

Deno.test("a folder in memory loses what was not flushed, and nothing else", async () => {
  const tree = new MemoryTree({ root: "/memory", now: () => 1_700_000_000_000 });
  const write = async (path: string, content: string) => {
    const handle = await tree.create(path);
    await handle.write(new TextEncoder().encode(content));
    await handle.flush();
    handle.close();
  };
  await write("kept", "kept");
  await tree.mkdir("d");
  await tree.flushFolder("");
  await write("lost name", "x");
  await write("d/lost too", "x");
  await tree.rename("kept", "d/moved");
  tree.cutPower(new Prng(1), 0);
  assert.deepEqual([...tree.all()].map(([path]) => path).sort(), ["d", "kept"]);
  await tree.rename("kept", "d/moved");
  await tree.flushFolder("d");
  tree.cutPower(new Prng(1), 0);
  assert.deepEqual([...tree.all()].map(([path]) => path).sort(), ["d", "d/moved"], "a rename is atomic");
  const handle = await tree.reopen("d/moved");
  await handle.write(new TextEncoder().encode(" and lost"));
  handle.close();
  tree.cutPower(new Prng(3), 0);
  const { content } = await tree.readSmall("d/moved", 100);
  assert.equal(new TextDecoder().decode(content.subarray(0, 4)), "kept");
  assert.notEqual(new TextDecoder().decode(content), "kept and lost");
});
