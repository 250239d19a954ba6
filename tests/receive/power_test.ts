import assert from "node:assert/strict";
import { FileError } from "../../src/domain/ports.ts";
import { eventually } from "../helpers/eventually.ts";
import { operation } from "../helpers/plain_client.ts";
import { exists, filesWithContent, put } from "../helpers/tree.ts";
import { folder, ReceiveBench } from "./bench.ts";
import { assertAtRest, bytesOf, type Call, copiesIn, death, type FarEnd } from "./support.ts";
import type { Remains } from "./volatile_tree.ts";

// Many small files share one flush, that of a journal (src/receive/journal.ts). Here the power is cut at every step, and every byte
// that was not flushed is lost: what was acknowledged must be there all the same.

const SOON = { deadlineMs: 8000, everyMs: 2 };
const REMAINS: readonly Remains[] = ["nothing", "half", "zeros"];
/** Enough for a journal. */
const PATHS = Array.from({ length: 12 }, (_, i) => `d${i % 3}/f${i}`);
/** Longer than any file was before. */
const text = (path: string, version: string) => `${version} of ${path}, ${"x".repeat(100)}`;

interface Point {
  readonly name: string;
  readonly when: "before" | "after";
  readonly at: (call: Call) => boolean;
}

const inStaging = (value: unknown, prefix: string) =>
  typeof value === "string" && value.startsWith(`.mirrorsync-staging/${prefix}`);
const journal = (value: unknown) => inStaging(value, "journal-");

const POINTS: readonly Point[] = [
  {
    name: "after the journal was made",
    when: "after",
    at: ({ method, args }) => method === "create" && journal(args[0]),
  },
  {
    name: "after the journal was written",
    when: "after",
    at: ({ method, args }) => method === "write" && journal(args[0]),
  },
  {
    name: "after files were staged, before the journal's flush",
    when: "before",
    at: ({ method, args }) => method === "flush" && journal(args[0]),
  },
  {
    name: "after the journal's flush",
    when: "after",
    at: ({ method, args }) => method === "flush" && journal(args[0]),
  },
  {
    name: "after an old version was linked aside",
    when: "after",
    at: ({ method, args }) => method === "link" && inStaging(args[1], "old-"),
  },
  {
    name: "after the first file was put in place",
    when: "after",
    at: ({ method, args }) => (method === "rename" || method === "link") && inStaging(args[0], "new-"),
  },
  {
    name: "after the second folder was put in place",
    when: "after",
    at: ({ method, args }) => method === "rename" && inStaging(args[0], "new-") && args[1] === "d1",
  },
  {
    name: "after the fifth file was put in place",
    when: "after",
    at: ({ method, args }) =>
      (method === "rename" || method === "link") && inStaging(args[0], "new-") && args[1] === PATHS[5],
  },
  {
    name: "after an old version went",
    when: "after",
    at: ({ method, args }) => method === "unlink" && inStaging(args[0], "old-"),
  },
  {
    name: "before the rows",
    when: "before",
    at: ({ method, args }) => method === "flushFolder" && args[0] === "d1",
  },
  {
    name: "after the acks, before the first file was flushed",
    when: "before",
    at: ({ method }) => method === "flushFile",
  },
  { name: "after a file was flushed", when: "after", at: ({ method }) => method === "flushFile" },
  {
    name: "before the journal goes",
    when: "before",
    at: ({ method, args }) => method === "unlink" && journal(args[0]),
  },
  {
    name: "after the journal went",
    when: "after",
    at: ({ method, args }) => method === "unlink" && journal(args[0]),
  },
];

function die(bench: ReceiveBench, point: Point): { readonly dead: () => boolean } {
  let dead = false;
  bench.tree[point.when] = (call) => {
    if (dead) return death();
    if (!point.at(call)) return;
    dead = true;
    bench.tree.before = death;
    bench.tree.after = death;
    return death();
  };
  return { dead: () => dead };
}

/** Sends one version of every path together; tells which were acknowledged. */
function sendAll(
  far: FarEnd,
  version: string,
  { headers, folders = false }: Pick<Partial<Case>, "headers" | "folders"> = {},
): Set<string> {
  const acked = new Set<string>();
  for (const path of folders ? ["d0", "d1", "d2"] : []) void far.request(folder("create", path));
  for (const path of PATHS) {
    const content = text(path, version);
    void far.request(operation("update", path, content, headers), content).then(({ header }) => {
      assert.equal(header.status, "ok", JSON.stringify(header));
      acked.add(path);
    });
  }
  return acked;
}

async function sentAll(bench: ReceiveBench, version: string): Promise<void> {
  const acked = sendAll(bench.link(), version);
  await eventually("all are acknowledged", () => assert.equal(acked.size, PATHS.length), SOON);
}

async function contentOf(bench: ReceiveBench, path: string): Promise<string | null> {
  return await exists(`${bench.synced}/${path}`) ? await Deno.readTextFile(`${bench.synced}/${path}`) : null;
}

/** As after a long time: everything flushed, no journal. */
async function settled(bench: ReceiveBench): Promise<void> {
  await bench.receiver.close();
  await assertAtRest(bench.synced);
}

async function assertAll(
  bench: ReceiveBench,
  version: string,
  paths: readonly string[] = PATHS,
): Promise<void> {
  for (const path of paths) assert.equal(await contentOf(bench, path), text(path, version));
}

interface Case {
  readonly name: string;
  readonly prepare: (bench: ReceiveBench) => Promise<void>;
  readonly before: string | null;
  readonly version: string;
  readonly headers?: Record<string, string>;
  /** Their folders come with them. */
  readonly folders?: boolean;
}

const CASES: readonly Case[] = [
  { name: "new files", prepare: () => Promise.resolve(), before: null, version: "v2" },
  {
    name: "new files in new folders",
    // The room on the disk is asked for with the first content: after that what comes together is committed together.
    prepare: async (bench) => {
      await bench.link().accepted(operation("create", "first", "first"), "first");
    },
    before: null,
    version: "v2",
    folders: true,
  },
  {
    name: "new versions",
    prepare: async (bench) => {
      await sentAll(bench, "v1");
      await settled(bench);
    },
    before: "v1",
    version: "v2",
  },
  {
    name: "new versions of files whose old ones were not flushed either",
    prepare: (bench) => sentAll(bench, "v1"),
    before: "v1",
    version: "v2",
  },
  {
    name: "new times",
    prepare: (bench) => sentAll(bench, "v2"),
    before: "v2",
    version: "v2",
    headers: { timestamp: "2026-07-07T07:07:07.007Z" },
  },
];

for (const each of CASES) {
  const { name, prepare, before, version } = each;
  Deno.test(`power cut: ${name}`, async (t) => {
    for (const point of POINTS) {
      for (const remains of REMAINS) {
        await t.step(`${point.name}, ${remains} left`, async () => {
          await using bench = await ReceiveBench.open();
          await prepare(bench);
          const { dead } = die(bench, point);
          const acked = sendAll(bench.link(), version, each);
          const resting = eventually(
            "it is over",
            () => assert.ok(dead() || acked.size === PATHS.length),
            SOON,
          );
          await resting;
          // What comes long after the acks is brought about by the end of the process.
          if (!dead()) {
            void bench.receiver.close();
            await eventually("it is over", () => assert.ok(dead() || !hasJournal(bench)), SOON);
            if (!dead()) return;
          }
          const all = acked.size === PATHS.length;
          await using again = await bench.rebooted(remains);
          await assertAtRest(again.synced);
          for (const path of PATHS) {
            const held = await contentOf(again, path);
            const after = text(path, version);
            if (acked.has(path)) assert.equal(held, after, `${path} was acknowledged`);
            const old = before === null ? null : text(path, before);
            assert.ok(held === after || held === old, `${path} is neither old nor new: ${held}`);
          }
          assert.deepEqual(await copiesIn(again.synced), []);
          await again.receiver.inspect(again.anna);
          assert.deepEqual(await copiesIn(again.synced), [], "the inspection finds no edit by hand");
          // Recovered is durable: nothing is left that another cut could take.
          await using third = await again.rebooted(remains);
          if (all) await assertAll(third, version);
          await sentAll(third, version);
          await assertAll(third, version);
          assert.deepEqual(await copiesIn(third.synced), [], "no conflict copy when it is sent again");
        });
      }
    }
  });
}

function hasJournal(bench: ReceiveBench): boolean {
  try {
    return [...Deno.readDirSync(`${bench.synced}/.mirrorsync-staging`)].some(({ name }) =>
      name.startsWith("journal-")
    );
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

Deno.test("power cut: few small files are flushed by themselves, without a journal", async () => {
  await using bench = await ReceiveBench.open();
  const far = bench.link();
  await Promise.all(["a", "b", "c"].map((path) => far.accepted(operation("create", path, path), path)));
  assert.equal(hasJournal(bench), false);
  await using again = await bench.rebooted("nothing");
  for (const path of ["a", "b", "c"]) assert.equal(await contentOf(again, path), path);
});

Deno.test("power cut: the journal goes by itself when nothing is to be done, and the files are durable then", async () => {
  await using bench = await ReceiveBench.open();
  await sentAll(bench, "v1");
  assert.equal(hasJournal(bench), true);
  assert.equal(bench.store.journals.list().length, 1);
  await eventually("it is at rest", () => assertAtRest(bench.synced), SOON);
  assert.deepEqual(bench.store.journals.list(), []);
  await using again = await bench.rebooted("nothing");
  await assertAll(again, "v1");
});

Deno.test("power cut: a file that may not be flushed keeps its journal, and keeps nothing else from being done", async () => {
  await using bench = await ReceiveBench.open();
  const [closed, moved] = [PATHS[0]!, PATHS[1]!];
  bench.tree.before = ({ method, args }) => {
    if (method === "flushFile" && args[0] === closed) throw new FileError("denied", "no permission");
  };
  await sentAll(bench, "v1");
  const told = () => bench.events.filter(({ message }) => message.includes("stays in the journal")).length;
  await eventually("that is told", () => assert.equal(told(), 1), SOON);
  const move = (from: string, path: string) => {
    const content = text(from, "v1");
    return { ...operation("create", path, content), action: "move", path, from, kind: "file" };
  };
  const far = bench.link();
  const { header } = await far.request(move(closed, "elsewhere"));
  assert.equal(header.code, "cannot_move", "the journal knows the file by its name");
  await far.accepted(move(moved, "other"));
  assert.equal(told(), 1, "that is told once");
  await using again = await bench.rebooted("nothing");
  await assertAll(again, "v1", PATHS.filter((path) => path !== moved));
  assert.equal(await contentOf(again, "other"), text(moved, "v1"));
  await assertAtRest(again.synced);
});

Deno.test("power cut: what came later makes the journal's version harmless", async () => {
  for (const remains of REMAINS) {
    await using bench = await ReceiveBench.open();
    await sentAll(bench, "v1");
    const far = bench.link();
    const [updated, emptied, shorter, deleted, ...others] = PATHS as [
      string,
      string,
      string,
      string,
      ...string[],
    ];
    await far.accepted(operation("update", updated, "newer"), "newer");
    await far.accepted(operation("update", emptied, ""), "");
    const beginning = text(shorter, "v1").slice(0, 10);
    await far.accepted(operation("update", shorter, beginning), beginning);
    await far.accepted(operation("delete", deleted));
    await using again = await bench.rebooted(remains);
    assert.equal(await contentOf(again, updated), "newer");
    assert.equal(await contentOf(again, emptied), "");
    assert.equal(await contentOf(again, shorter), beginning);
    assert.equal(await contentOf(again, deleted), null);
    await assertAll(again, "v1", others);
    assert.deepEqual(await copiesIn(again.synced), []);
    await again.receiver.inspect(again.anna);
    assert.deepEqual(await copiesIn(again.synced), []);
  }
});

Deno.test("power cut: edits by hand are kept, whatever the journal says", async () => {
  for (const remains of REMAINS) {
    await using bench = await ReceiveBench.open();
    await sentAll(bench, "v1");
    const [longer, sameSize, shorter, ...others] = PATHS as [string, string, string, ...string[]];
    await using again = await (async () => {
      bench.clock.die();
      await bench.disk.cutPower(remains);
      await Deno.writeTextFile(`${bench.synced}/${longer}`, `by hand: ${"y".repeat(300)}`);
      await Deno.writeTextFile(`${bench.synced}/${sameSize}`, "z".repeat(text(sameSize, "v1").length));
      await Deno.writeTextFile(`${bench.synced}/${shorter}`, "by hand");
      return await bench.restarted();
    })();
    await again.receiver.inspect(again.anna);
    await sentAll(again, "v1");
    await assertAll(again, "v1");
    assert.equal((await copiesIn(again.synced)).length, 3);
    for (const edit of [`by hand: ${"y".repeat(300)}`, "z".repeat(text(sameSize, "v1").length), "by hand"]) {
      assert.equal((await filesWithContent(again.synced, edit)).length, 1, "the edit is lost");
    }
    await assertAll(again, "v1", others);
  }
});

Deno.test("power cut: content that is neither ours nor lost is kept, even under the mark that we left", async () => {
  await using bench = await ReceiveBench.open();
  await sentAll(bench, "v1");
  const [path, ...others] = PATHS as [string, ...string[]];
  bench.clock.die();
  const other = "?".repeat(text(path, "v1").length);
  await Deno.writeTextFile(`${bench.synced}/${path}`, other);
  const row = bench.store.synced.get(bench.anna.number, path as never)!;
  const disk = (await bench.disk.lstat(path))!;
  bench.store.synced.put({ ...row, disk });
  await using again = await bench.restarted();
  await assertAll(again, "v1", [path, ...others]);
  assert.equal((await filesWithContent(again.synced, other)).length, 1);
});

Deno.test("power cut: a file or folder that was deleted by hand does not stop the others from coming back", async () => {
  await using bench = await ReceiveBench.open();
  await sentAll(bench, "v1");
  bench.clock.die();
  await bench.disk.cutPower("nothing");
  await Deno.remove(`${bench.synced}/d0`, { recursive: true });
  await Deno.mkdir(`${bench.folder}/outside`);
  await Deno.symlink(`${bench.folder}/outside`, `${bench.synced}/d0`);
  await Deno.remove(`${bench.synced}/${PATHS[1]}`);
  await using again = await bench.restarted();
  await assertAll(again, "v1", PATHS.filter((path) => !path.startsWith("d0/")));
  assert.deepEqual(
    [...Deno.readDirSync(`${bench.folder}/outside`)],
    [],
    "nothing is written through a symlink",
  );
  await assertAtRest(again.synced);
});

for (const remains of ["nothing", "half"] as const) {
  Deno.test(`power cut: what cannot be brought back on a full disk is not said to be held, until it is (${remains})`, async () => {
    await using bench = await ReceiveBench.open();
    await sentAll(bench, "v1");
    let full = true;
    await using again = await bench.rebooted(remains, ({ method, args }) => {
      if (full && method === "write" && inStaging(args[0], "new-")) {
        throw new FileError("no_space", "no room");
      }
    });
    assert.equal(hasJournal(again), true);
    const far = again.link();
    const held = async () =>
      (await far.request({ id: crypto.randomUUID(), action: "tree", digest: "0".repeat(64) }))
        .header["count"];
    const folders = ["d0", "d1", "d2"];
    assert.equal(await held(), folders.length);
    // Nothing may be concluded from what the power cut has left: it is neither an edit nor to be replaced before it is whole.
    const [path] = PATHS;
    for (const action of ["update", "delete"] as const) {
      const content = action === "update" ? text(path!, "v2") : "";
      const { header } = await far.request(operation(action, path!, content), content);
      assert.deepEqual([header.status, header.code], ["error", "no_space"], action);
    }
    assert.deepEqual(await copiesIn(again.synced), []);
    full = false;
    assert.equal(await held(), folders.length + PATHS.length);
    await assertAll(again, "v1");
    assert.equal(hasJournal(again), false);
    assert.deepEqual(await copiesIn(again.synced), []);
    await far.accepted(operation("update", path!, text(path!, "v2")), text(path!, "v2"));
    await again.rest();
    await using third = await again.rebooted("nothing");
    await assertAll(third, "v1", PATHS.slice(1));
    assert.equal(await contentOf(third, path!), text(path!, "v2"));
  });
}

Deno.test("power cut: what had only begun and cannot be looked at is settled later, and does not stay as nobody's", async () => {
  await using bench = await ReceiveBench.open();
  const { dead } = die(bench, POINTS.find(({ name }) => name === "before the rows")!);
  sendAll(bench.link(), "v1");
  await eventually("it is dead", () => assert.ok(dead()), SOON);
  const [path, other] = PATHS as [string, string];
  let closed = true;
  const refuse = ({ method, args }: Call) => {
    if (closed && method === "openRead" && args[0] === path) {
      throw new FileError("io", "it cannot be read");
    }
  };
  bench.clock.die();
  await using again = await bench.restarted(null, refuse);
  assert.equal(await contentOf(again, path), text(path, "v1"));
  const { header } = await again.link().request(
    operation("update", path, text(path, "v2")),
    text(path, "v2"),
  );
  assert.equal(header.status, "error", "nothing is put over it before it is known what it is");
  // Another start, as bad: what had begun is not forgotten over it.
  await using third = await again.restarted(null, refuse);
  const far = third.link();
  closed = false;
  await far.request({ id: crypto.randomUUID(), action: "tree", digest: "0".repeat(64) });
  await far.accepted(operation("delete", path, ""));
  await far.accepted(operation("delete", other, ""));
  assert.equal(await contentOf(third, path), null);
  assert.deepEqual(await copiesIn(third.synced), []);
  assert.equal(hasJournal(third), false);
});

Deno.test("power cut: a folder is not moved while a journal stands for what is in it, since before a crash", async () => {
  await using bench = await ReceiveBench.open();
  const first = bench.link();
  await first.accepted(folder("create", "d0"));
  await sentAll(bench, "v1");
  let bad = true;
  await using again = await bench.restarted(null, ({ method, args }) => {
    if (bad && method === "flushFile" && String(args[0]).startsWith("d0/")) {
      throw new FileError("io", "it cannot be flushed");
    }
  });
  const far = again.link();
  const move = () => ({ ...folder("create", "e"), action: "move", path: "e", from: "d0" });
  assert.equal((await far.refused(move())).code, "cannot_move");
  bad = false;
  await far.accepted(move());
  await using third = await again.rebooted("nothing");
  for (const path of PATHS.filter((path) => path.startsWith("d0/"))) {
    assert.equal(await contentOf(third, path.replace("d0/", "e/")), text(path, "v1"));
  }
});

Deno.test("power cut: what could not be brought back stays in the journal for the next start", async () => {
  await using bench = await ReceiveBench.open();
  await sentAll(bench, "v1");
  await using again = await bench.rebooted("half", ({ method, args }) => {
    if (method === "write" && inStaging(args[0], "new-")) throw new FileError("no_space", "no room");
  });
  assert.equal(hasJournal(again), true);
  await using third = await again.restarted();
  await assertAll(third, "v1");
  await assertAtRest(third.synced);
});

Deno.test("journal: a full disk refuses what does not fit, keeps the link, and what is sent later arrives", async () => {
  await using bench = await ReceiveBench.open();
  const far = bench.link();
  let full = true;
  bench.tree.before = ({ method, args }) => {
    if (full && method === "write" && (journal(args[0]) || inStaging(args[0], "new-"))) {
      throw new FileError("no_space", "no room");
    }
  };
  const replies = await Promise.all(
    PATHS.map((path) => far.request(operation("create", path, text(path, "v1")), text(path, "v1"))),
  );
  assert.deepEqual(new Set(replies.map(({ header }) => header.code)), new Set(["no_space"]));
  full = false;
  await sentAll(bench, "v1");
  await using again = await bench.rebooted("nothing");
  await assertAll(again, "v1");
});

Deno.test("journal: a lump that could be written only in part spoils neither those before nor those after it", async () => {
  await using bench = await ReceiveBench.open();
  await sentAll(bench, "v1");
  let torn = false;
  bench.tree.after = ({ method, args }) => {
    if (torn || method !== "write" || !journal(args[0])) return;
    torn = true;
    throw new FileError("no_space", "no room for the rest");
  };
  await sentAll(bench, "v2");
  assert.ok(torn);
  await sentAll(bench, "v3");
  await using again = await bench.rebooted("nothing");
  await assertAll(again, "v3");
  assert.deepEqual(await copiesIn(again.synced), []);
});

Deno.test("journal: a journal that nobody answers for is swept, whatever is in it", async () => {
  await using bench = await ReceiveBench.open();
  await put(`${bench.synced}/.mirrorsync-staging/journal-1`, bytesOf("rubbish"));
  bench.store.journals.add("journal-2");
  await put(`${bench.synced}/.mirrorsync-staging/journal-2`, new Uint8Array(1000).fill(255));
  await using again = await bench.restarted();
  await assertAtRest(again.synced);
  assert.deepEqual(again.store.journals.list(), []);
});

Deno.test("journal: when its flush fails nothing of it is acknowledged, and nothing follows it in the same file", async () => {
  await using bench = await ReceiveBench.open();
  await sentAll(bench, "v1");
  let failed = false;
  bench.tree.before = ({ method, args }) => {
    if (failed || method !== "flush" || !journal(args[0])) return;
    failed = true;
    throw new FileError("io", "the disk is broken");
  };
  const far = bench.link();
  const codes = await Promise.all(PATHS.map(async (path) => {
    const { header } = await far.request(operation("update", path, text(path, "v2")), text(path, "v2"));
    return header.code;
  }));
  assert.ok(codes.includes("io_error"));
  const journals = bench.store.journals.list().length;
  await sentAll(bench, "v3");
  assert.equal(bench.store.journals.list().length, journals + 1);
  await using again = await bench.rebooted("nothing");
  await assertAll(again, "v3");
  assert.deepEqual(await copiesIn(again.synced), []);
});
