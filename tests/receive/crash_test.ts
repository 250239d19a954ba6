import assert from "node:assert/strict";
import { FileError } from "../../src/domain/ports.ts";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { DiskTree } from "../../src/system/disk_tree.ts";
import { eventually } from "../helpers/eventually.ts";
import { operation } from "../helpers/plain_client.ts";
import { exists, filesWithContent, put } from "../helpers/tree.ts";
import { folder, ReceiveBench } from "./bench.ts";
import { assertAtRest, type Call, copiesIn, death, HookedTree, namesIn } from "./support.ts";

const SOON = { deadlineMs: 3000, everyMs: 2 };

/** A call after or before which the process dies. */
interface Point {
  readonly name: string;
  readonly when: "before" | "after";
  readonly at: (call: Call) => boolean;
}

const isAside = (value: unknown) => typeof value === "string" && value.includes("/old-");
const isStaged = (value: unknown) => typeof value === "string" && value.includes("/new-");

const POINTS: readonly Point[] = [
  { name: "while content is staged", when: "after", at: ({ method }) => method === "write" },
  { name: "before the flush", when: "before", at: ({ method }) => method === "flush" },
  { name: "after the flush", when: "after", at: ({ method }) => method === "flush" },
  {
    name: "after the intents, before anything moved",
    when: "before",
    at: ({ method, args }) =>
      (method === "link" || method === "rename") && (isStaged(args[0]) || isAside(args[1])),
  },
  {
    name: "after the old version was linked aside",
    when: "after",
    at: ({ method, args }) => method === "link" && isAside(args[1]),
  },
  {
    name: "after the new version was put in place",
    when: "after",
    at: ({ method, args }) => (method === "rename" || method === "link") && isStaged(args[0]),
  },
  {
    name: "after the old version was moved aside",
    when: "after",
    at: ({ method, args }) => method === "rename" && isAside(args[1]),
  },
  {
    name: "before the old version goes",
    when: "before",
    at: ({ method, args }) => method === "unlink" && isAside(args[0]),
  },
  {
    name: "after the old version went",
    when: "after",
    at: ({ method, args }) => method === "unlink" && isAside(args[0]),
  },
  { name: "before the rows", when: "before", at: ({ method }) => method === "flushFolder" },
];

/** Lets the process die at a point; resolves when it has. */
function die(bench: ReceiveBench, point: Point): { readonly dead: () => boolean } {
  let dead = false;
  bench.tree[point.when] = (call) => {
    if (dead) return death();
    if (!point.at(call)) return;
    dead = true;
    // What begins from now on does not begin any more.
    bench.tree.before = death;
    bench.tree.after = death;
    return death();
  };
  return { dead: () => dead };
}

interface Case {
  readonly name: string;
  readonly prepare: (bench: ReceiveBench) => Promise<void>;
  readonly header: () => ReturnType<typeof operation>;
  readonly content: string;
  /** What the peer had before, `null` for nothing. */
  readonly before: string | null;
  readonly after: string | null;
}

const CASES: readonly Case[] = [
  {
    name: "create",
    prepare: () => Promise.resolve(),
    header: () => operation("create", "d/a.txt", "v2"),
    content: "v2",
    before: null,
    after: "v2",
  },
  {
    name: "update",
    prepare: async (bench) => {
      await bench.link().accepted(operation("create", "d/a.txt", "v1"), "v1");
      await bench.rest();
    },
    header: () => operation("update", "d/a.txt", "v2"),
    content: "v2",
    before: "v1",
    after: "v2",
  },
  {
    name: "update of times only",
    prepare: async (bench) => {
      await bench.link().accepted(operation("create", "d/a.txt", "v1"), "v1");
      await bench.rest();
    },
    header: () => operation("update", "d/a.txt", "v1", { timestamp: "2026-07-07T07:07:07.007Z" }),
    content: "v1",
    before: "v1",
    after: "v1",
  },
  {
    name: "delete",
    prepare: async (bench) => {
      await bench.link().accepted(operation("create", "d/a.txt", "v1"), "v1");
      await bench.rest();
    },
    header: () => operation("delete", "d/a.txt"),
    content: "",
    before: "v1",
    after: null,
  },
  {
    name: "create over an unowned file with the same content",
    prepare: (bench) => put(`${bench.synced}/d/a.txt`, "v2"),
    header: () => operation("create", "d/a.txt", "v2"),
    content: "v2",
    before: "v2",
    after: "v2",
  },
];

for (const each of CASES) {
  Deno.test(`crash: ${each.name}`, async (t) => {
    for (const point of POINTS) {
      await using bench = await ReceiveBench.open();
      await each.prepare(bench);
      const { dead } = die(bench, point);
      const far = bench.link();
      let answered = false;
      void far.request(each.header(), each.content).then(() => answered = true);
      await eventually("it is over", () => assert.ok(dead() || answered), SOON);
      if (!dead()) continue; // this operation does not come by this point
      await t.step(point.name, async () => {
        assert.equal(answered, false, "nothing is acknowledged that is not durable");
        await using again = await bench.restarted();
        await assertAtRest(again.synced);
        assert.deepEqual(await copiesIn(again.synced), [], "no conflict copy of our own write");
        const held = await exists(`${again.synced}/d/a.txt`)
          ? await Deno.readTextFile(`${again.synced}/d/a.txt`)
          : null;
        assert.ok(held === each.before || held === each.after, `neither before nor after: ${held}`);
        await again.receiver.inspect(again.anna);
        assert.deepEqual(await copiesIn(again.synced), [], "the inspection finds no edit by hand");
        await again.link().accepted(each.header(), each.content);
        assert.equal(await exists(`${again.synced}/d/a.txt`), each.after !== null);
        assert.deepEqual(await copiesIn(again.synced), [], "no conflict copy when it is sent again");
        await again.rest();
      });
    }
  });

  Deno.test(`crash: ${each.name}, and then a newer version`, async (t) => {
    for (const point of POINTS) {
      await using bench = await ReceiveBench.open();
      await each.prepare(bench);
      const { dead } = die(bench, point);
      let answered = false;
      void bench.link().request(each.header(), each.content).then(() => answered = true);
      await eventually("it is over", () => assert.ok(dead() || answered), SOON);
      if (!dead()) continue;
      await t.step(point.name, async () => {
        await using again = await bench.restarted();
        await again.link().accepted(operation("update", "d/a.txt", "v3"), "v3");
        assert.equal(await Deno.readTextFile(`${again.synced}/d/a.txt`), "v3");
        // An unowned file whose content nobody has sent yet may be kept, once.
        const own = each.name.includes("unowned") ? ["v2"] : [];
        const kept = await Promise.all(
          (await copiesIn(again.synced)).map((copy) => Deno.readTextFile(`${again.synced}/${copy}`)),
        );
        if (kept.length > 0) assert.deepEqual(kept, own, "a conflict copy of our own write");
        await again.rest();
      });
    }
  });
}

Deno.test("crash: an edit by hand while the process was dead is kept, wherever it died", async (t) => {
  for (const action of ["update", "delete"] as const) {
    for (const point of POINTS) {
      await using bench = await ReceiveBench.open();
      await bench.link().accepted(operation("create", "a.txt", "v1"), "v1");
      const { dead } = die(bench, point);
      let answered = false;
      const content = action === "update" ? "v2" : "";
      void bench.link().request(operation(action, "a.txt", content), content).then(() => answered = true);
      await eventually("it is over", () => assert.ok(dead() || answered), SOON);
      if (!dead()) continue;
      await t.step(`${action}, ${point.name}`, async () => {
        await Deno.writeTextFile(`${bench.synced}/a.txt`, "by hand");
        await using again = await bench.restarted();
        await again.receiver.inspect(again.anna);
        const anna = again.link();
        await anna.accepted(operation("update", "a.txt", "v3"), "v3");
        assert.equal(await Deno.readTextFile(`${again.synced}/a.txt`), "v3");
        assert.ok((await filesWithContent(again.synced, "by hand")).length >= 1, "the edit is lost");
        await again.rest();
      });
    }
  }
});

Deno.test("crash: an edit that raced with the commit survives the crash", async () => {
  await using bench = await ReceiveBench.open();
  await bench.link().accepted(operation("create", "a.txt", "v1"), "v1");
  let dead = false;
  bench.tree.before = async ({ method, args }) => {
    if (method === "rename" && args[1] === "a.txt") {
      await Deno.writeTextFile(`${bench.synced}/a.txt`, "raced");
    }
  };
  bench.tree.after = ({ method, args }) => {
    if (dead) return death();
    if (method !== "rename" || args[1] !== "a.txt") return;
    dead = true;
    return death();
  };
  void bench.link().request(operation("update", "a.txt", "v2"), "v2");
  await eventually("it is dead", () => assert.ok(dead), SOON);
  await using again = await bench.restarted();
  assert.equal(await Deno.readTextFile(`${again.synced}/a.txt`), "v2");
  assert.equal((await filesWithContent(again.synced, "raced")).length, 1);
  await assertAtRest(again.synced);
});

Deno.test("crash: the log tells of a conflict copy that was made before it came", async () => {
  await using bench = await ReceiveBench.open();
  await put(`${bench.synced}/d/a.txt`, "mine");
  let dead = false;
  bench.tree.after = ({ method, args }) => {
    if (dead) return death();
    if (method !== "rename" || args[0] !== "d/a.txt") return;
    dead = true;
    return death();
  };
  void bench.link().request(operation("create", "d/a.txt", "theirs"), "theirs");
  await eventually("it is dead", () => assert.ok(dead), SOON);
  const copies = await copiesIn(bench.synced);
  assert.equal(copies.length, 1);
  await using again = await bench.restarted();
  await using third = await again.restarted();
  const told = third.store.log.newest(100, null).filter(({ action }) => action === "conflict");
  assert.deepEqual(told.map(({ path }) => path), copies, "once");
});

Deno.test("crash: a folder that was deleted by hand meanwhile does not keep the program from starting", async () => {
  await using bench = await ReceiveBench.open();
  await bench.link().accepted(operation("create", "d/a.txt", "v1"), "v1");
  const point = POINTS.find(({ name }) => name === "after the old version was linked aside")!;
  const { dead } = die(bench, point);
  void bench.link().request(operation("update", "d/a.txt", "v2"), "v2");
  await eventually("it is dead", () => assert.ok(dead()), SOON);
  await Deno.remove(`${bench.synced}/d`, { recursive: true });
  await using again = await bench.restarted();
  await again.receiver.inspect(again.anna);
  await again.link().accepted(operation("update", "d/a.txt", "v2"), "v2");
  assert.equal(await Deno.readTextFile(`${again.synced}/d/a.txt`), "v2");
});

Deno.test("crash: a folder that is deleted by hand in the moment of recovery does not keep the program from starting", async (t) => {
  for (const point of POINTS.filter(({ name }) => name.startsWith("after"))) {
    for (let call = 1, more = true; more; call++) {
      await using bench = await ReceiveBench.open();
      await bench.link().accepted(operation("create", "d/a.txt", "v1"), "v1");
      await bench.rest();
      const { dead } = die(bench, point);
      const far = bench.link();
      let answered = false;
      void far.request(operation("update", "d/a.txt", "v2"), "v2").then(() => answered = true);
      await eventually("it is over", () => assert.ok(dead() || answered), SOON);
      if (!dead()) break; // an update does not come by this point
      const tree = new HookedTree(new DiskTree(bench.synced));
      let count = 0;
      tree.before = async () => {
        if (++count !== call) return;
        await Deno.remove(`${bench.synced}/d`, { recursive: true });
      };
      await t.step(`${point.name}, before call ${call} of the recovery`, async () => {
        const receiver = await bench.openReceiver(tree);
        more = count >= call;
        await receiver.inspect(bench.anna);
        await receiver.close();
      });
    }
  }
});

Deno.test("crash: recovery writes nothing through a symlink that was planted meanwhile", async () => {
  await using bench = await ReceiveBench.open();
  await bench.link().accepted(operation("create", "d/a.txt", "v1"), "v1");
  const point = POINTS.find(({ name }) => name === "after the old version was linked aside")!;
  const { dead } = die(bench, point);
  void bench.link().request(operation("update", "d/a.txt", "v2"), "v2");
  await eventually("it is dead", () => assert.ok(dead()), SOON);
  await Deno.remove(`${bench.synced}/d`, { recursive: true });
  await Deno.mkdir(`${bench.folder}/outside`);
  await Deno.symlink(`${bench.folder}/outside`, `${bench.synced}/d`);
  await using _again = await bench.restarted();
  assert.deepEqual(await namesIn(`${bench.folder}/outside`), []);
});

Deno.test("crash: what lies in staging is swept at the next start; old versions nobody answers for are kept", async () => {
  await using bench = await ReceiveBench.open();
  await put(`${bench.synced}/.mirrorsync-staging/new-1`, "half of a transfer");
  await put(`${bench.synced}/.mirrorsync-staging/old-1`, "an old version");
  await using again = await bench.restarted();
  await assertAtRest(again.synced);
  assert.deepEqual(await filesWithContent(again.synced, "half of a transfer"), []);
  assert.equal((await filesWithContent(again.synced, "an old version")).length, 1);
});

Deno.test("crash: a new folder that a power cut has put back into staging, with folders in it, does not keep the program from starting", async () => {
  await using bench = await ReceiveBench.open();
  await put(`${bench.synced}/.mirrorsync-staging/new-1/a`, "a");
  await put(`${bench.synced}/.mirrorsync-staging/new-1/x/y/b`, "b");
  await using again = await bench.restarted();
  await assertAtRest(again.synced);
  assert.deepEqual(await namesIn(again.synced), []);
  await again.link().accepted(operation("create", "new", "works"), "works");
});

Deno.test("crash: the log tells of an old version that is kept, also when a start ends right after it was put there", async () => {
  await using bench = await ReceiveBench.open();
  await put(`${bench.synced}/.mirrorsync-staging/old-1`, "an old version");
  const start = bench.restarted(null, async ({ method, args }) => {
    const isKept = (await filesWithContent(bench.synced, "an old version")).some((path) =>
      !path.includes("old-1")
    );
    if (method === "flushFolder" && args[0] === "" && isKept) throw new FileError("io", "the disk is gone");
  });
  await assert.rejects(start, /the disk is gone/);
  await using again = await bench.restarted();
  const [kept] = await copiesIn(again.synced);
  assert.deepEqual(again.store.log.newest(10, null).map(({ path, code }) => `${code} ${path}`), [
    `conflict ${kept}`,
  ]);
});

Deno.test("crash: a folder that was made for a file, of which nothing else has come, is known to be its sender's", async () => {
  await using bench = await ReceiveBench.open();
  let dead = false;
  bench.tree.before = () => dead ? death() : undefined;
  bench.tree.after = ({ method, args }) => {
    if (method !== "mkdir" || args[0] !== "d") return;
    dead = true;
    return death();
  };
  void bench.link().request(operation("create", "d/a", "a"), "a");
  await eventually("it is dead", () => assert.ok(dead), SOON);
  await using again = await bench.restarted();
  const anna = again.link();
  const { header } = await anna.request({ id: crypto.randomUUID(), action: "tree", digest: "0".repeat(64) });
  assert.equal(header["count"], 1, "its sender is told of it");
  await anna.accepted(folder("delete", "d"));
  assert.deepEqual(await namesIn(again.synced), []);
});

Deno.test("crash: a deletion that could not be made durable leaves its sender's name on what may come back", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.accepted(operation("create", "d/a", "a"), "a");
  let bad = true;
  bench.tree.before = ({ method, args }) => {
    if (bad && method === "flushFolder" && args[0] === "d") throw new FileError("io", "it cannot be flushed");
  };
  const { header } = await anna.request(operation("delete", "d/a", ""));
  assert.equal(header.status, "error");
  const row = () => bench.store.synced.get(bench.anna.number, "d/a" as RelativePath);
  assert.notEqual(row(), null, "the disk may still hold it");
  bad = false;
  await anna.accepted(operation("delete", "d/a", ""));
  assert.equal(row(), null);
  assert.deepEqual(bench.store.log.newest(10, "d/a").filter(({ action }) => action === "vanished"), []);
});

Deno.test("crash: folders of an interrupted group are made again when they are sent again", async () => {
  await using bench = await ReceiveBench.open();
  let dead = false;
  bench.tree.before = ({ method }) => {
    if (dead) return death();
    if (method !== "flushFolder") return;
    dead = true;
    return death();
  };
  const far = bench.link();
  void far.request(folder("create", "d"));
  void far.request(operation("create", "d/a", "a"), "a");
  await eventually("it is dead", () => assert.ok(dead), SOON);
  await using again = await bench.restarted();
  const anna = again.link();
  await anna.accepted(folder("create", "d"));
  await anna.accepted(operation("create", "d/a", "a"), "a");
  assert.deepEqual(await namesIn(again.synced), ["d", "d/a"]);
});
