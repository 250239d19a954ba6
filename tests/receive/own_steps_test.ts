import assert from "node:assert/strict";
import { DiskTree } from "../../src/system/disk_tree.ts";
import { eventually } from "../helpers/eventually.ts";
import { operation } from "../helpers/plain_client.ts";
import { filesWithContent } from "../helpers/tree.ts";
import { folder, ReceiveBench } from "./bench.ts";
import { type Call, copiesIn, death, HookedTree } from "./support.ts";

/** Calls that change something outside of the staging folder. */
const CHANGES = ["rmdir", "link", "unlink", "rename", "flushFolder"];

interface Case {
  readonly name: string;
  readonly prepare: (bench: ReceiveBench) => Promise<unknown>;
  /** What the process is doing when it is killed. */
  readonly work: (bench: ReceiveBench) => Promise<unknown>;
  /** A file was edited by hand before: that version must be kept, once. */
  readonly edited?: boolean;
}

const create = (bench: ReceiveBench, path: string) =>
  bench.link().accepted(operation("create", path, "v1"), "v1");

async function createAndEdit(bench: ReceiveBench): Promise<void> {
  await create(bench, "x");
  await bench.rest();
  await Deno.writeTextFile(`${bench.synced}/x`, "by hand");
}

const CASES: readonly Case[] = [
  {
    name: "a folder is deleted",
    prepare: (bench) => bench.link().accepted(folder("create", "x")),
    work: (bench) => bench.link().accepted(folder("delete", "x")),
  },
  {
    name: "a file is deleted",
    prepare: (bench) => create(bench, "x"),
    work: (bench) => bench.link().accepted(operation("delete", "x")),
  },
  {
    name: "a file is replaced",
    prepare: (bench) => create(bench, "x"),
    work: (bench) => bench.link().accepted(operation("update", "x", "v2"), "v2"),
  },
  {
    name: "an edited file is replaced",
    prepare: createAndEdit,
    work: (bench) => bench.link().accepted(operation("update", "x", "v2"), "v2"),
    edited: true,
  },
  {
    name: "an edited file is deleted",
    prepare: createAndEdit,
    work: (bench) => bench.link().accepted(operation("delete", "x")),
    edited: true,
  },
  {
    name: "an empty folder gives way to a file",
    prepare: (bench) => bench.link().accepted(folder("create", "x")),
    work: (bench) => bench.link().accepted(operation("create", "x", "v2"), "v2"),
  },
  {
    name: "an edited file gives way to a folder",
    prepare: createAndEdit,
    work: (bench) => bench.link().accepted(folder("create", "x")),
    edited: true,
  },
  {
    name: "an edited file is found",
    prepare: createAndEdit,
    work: (bench) => bench.receiver.inspect(bench.anna),
    edited: true,
  },
];

/** Lets the process die before or after its n-th change; tells whether it has. */
function dieAt(tree: HookedTree, when: "before" | "after", step: number): () => boolean {
  let count = 0, dead = false;
  tree[when] = (call: Call) => {
    if (dead) return death();
    if (!CHANGES.includes(call.method) || ++count < step) return;
    dead = true;
    tree.before = tree.after = death;
    return death();
  };
  return () => dead;
}

/** Resolves with whether the process died at the point; `false` when it came to the end of its work. */
async function diesIn(work: Promise<unknown>, dead: () => boolean): Promise<boolean> {
  let ended = false;
  void work.then(() => ended = true);
  await eventually("it is over", () => assert.ok(ended || dead()), { deadlineMs: 3000, everyMs: 1 });
  return dead();
}

async function check(bench: ReceiveBench, edited: boolean): Promise<void> {
  await bench.receiver.inspect(bench.anna);
  const vanished = bench.store.log.newest(100, null).filter(({ action }) => action === "vanished");
  assert.deepEqual(vanished.map(({ path }) => path), [], "our own step was taken for a deletion by hand");
  assert.equal((await copiesIn(bench.synced)).length, edited ? 1 : 0, "conflict copies");
  if (edited) assert.equal((await filesWithContent(bench.synced, "by hand")).length, 1);
}

for (const { name, prepare, work, edited = false } of CASES) {
  Deno.test(`own steps: a crash while ${name} is not taken for a deletion by hand`, async (t) => {
    for (const when of ["before", "after"] as const) {
      for (let step = 1, more = true; more; step++) {
        // In a second crash the recovery itself is cut off.
        for (let again = 0; more && again <= (when === "after" ? 2 : 0); again++) {
          await using bench = await ReceiveBench.open();
          await prepare(bench);
          await bench.rest();
          const dead = dieAt(bench.tree, when, step);
          more = await diesIn(work(bench), dead);
          if (!more) break;
          await t.step(
            `${when} step ${step}${again > 0 ? `, and before ${again} of the recovery` : ""}`,
            async () => {
              if (again > 0) {
                const tree = new HookedTree(new DiskTree(bench.synced));
                await diesIn(bench.openReceiver(tree), dieAt(tree, "before", again));
              }
              await using next = await bench.restarted();
              // Where nothing had happened yet the edit is still in its place.
              await check(next, edited);
            },
          );
        }
      }
    }
  });
}
