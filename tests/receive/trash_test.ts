import assert from "node:assert/strict";
import { FileError } from "../../src/domain/ports.ts";
import { HOME_TRASH, type RelativePath } from "../../src/domain/relative_path.ts";
import type { Trashed } from "../../src/store/trash.ts";
import { eventually } from "../helpers/eventually.ts";
import { operation } from "../helpers/plain_client.ts";
import { exists, filesWithContent, put, sha256 } from "../helpers/tree.ts";
import { folder, ReceiveBench } from "./bench.ts";
import { assertAtRest, type Call, copiesIn, death, type FarEnd, namesIn } from "./support.ts";

const SOON = { deadlineMs: 5000, everyMs: 2 };

/** The versions in the trash with their contents, the oldest first; each must be there, whole. */
async function trashOf(bench: ReceiveBench): Promise<{ path: string; reason: string; text: string }[]> {
  const found = [];
  for (const { path, reason, stored, state } of bench.store.trash.page(0, 1000)) {
    const text = stored === null ? "" : await Deno.readTextFile(storedAt(bench, stored));
    if (stored !== null) assert.equal(sha256(text), state.hash, `the trash has other content of ${path}`);
    found.push({ path, reason, text });
  }
  return found;
}

function storedAt(bench: ReceiveBench, stored: string): string {
  return stored.startsWith(`${HOME_TRASH}/`)
    ? `${bench.folder}/trash${stored.slice(HOME_TRASH.length)}`
    : `${bench.synced}/${stored}`;
}

async function accepted(far: FarEnd, action: "create" | "update", path: string, text: string): Promise<void> {
  await far.accepted(operation(action, path, text), text);
}

Deno.test("trash: what is deleted or replaced is in the home's trash, with what it was", async () => {
  await using bench = await ReceiveBench.open();
  const far = bench.link();
  await accepted(far, "create", "d/a.txt", "v1");
  await accepted(far, "update", "d/a.txt", "v2");
  await far.accepted(operation("delete", "d/a.txt"));
  assert.deepEqual(await trashOf(bench), [
    { path: "d/a.txt", reason: "replaced", text: "v1" },
    { path: "d/a.txt", reason: "deleted", text: "v2" },
  ]);
  assert.equal(await exists(`${bench.synced}/d/a.txt`), false);
  await bench.rest();
  assert.deepEqual(await namesIn(bench.synced), ["d"], "nothing of the trash is in synced/");
});

Deno.test("trash: a folder that is deleted with all that is in it keeps its shape, empty folders too", async () => {
  await using bench = await ReceiveBench.open();
  const far = bench.link();
  for (const path of ["d", "d/e", "d/empty"]) await far.accepted(folder("create", path));
  await accepted(far, "create", "d/e/a", "content");
  await far.accepted(operation("delete", "d/e/a"));
  for (const path of ["d/empty", "d/e", "d"]) await far.accepted(folder("delete", path));
  assert.deepEqual(
    bench.store.trash.of("d").map(({ path, state }) => `${state.kind} ${path}`),
    ["file d/e/a", "folder d/empty", "folder d/e", "folder d"],
  );
});

Deno.test("trash: new times alone, and edits by hand, put nothing in the trash", async () => {
  await using bench = await ReceiveBench.open();
  const far = bench.link();
  await accepted(far, "create", "a", "v1");
  await far.accepted(operation("update", "a", "v1", { timestamp: "2026-07-07T07:07:07.007Z" }), "v1");
  await Deno.writeTextFile(`${bench.synced}/a`, "by hand");
  await accepted(far, "update", "a", "v2");
  assert.deepEqual(await trashOf(bench), []);
  assert.equal((await copiesIn(bench.synced)).length, 1);
});

Deno.test("trash: without one, what is deleted or replaced is gone", async () => {
  await using bench = await ReceiveBench.open();
  bench.trash = null;
  bench.receiver = await bench.openReceiver(bench.tree);
  const far = bench.link();
  await accepted(far, "create", "a", "v1");
  await accepted(far, "update", "a", "v2");
  await far.accepted(operation("delete", "a"));
  assert.deepEqual(await trashOf(bench), []);
  assert.deepEqual(await filesWithContent(bench.folder, "v1"), []);
  await bench.rest();
});

Deno.test("trash: content that came back from it is made of it, checked, and not sent again", async () => {
  await using bench = await ReceiveBench.open();
  const far = bench.link();
  const text = "x".repeat(20_000);
  await accepted(far, "create", "a", text);
  await far.accepted(operation("delete", "a"));
  await far.accepted(operation("create", "b", text, { offer: true }));
  assert.equal(await Deno.readTextFile(`${bench.synced}/b`), text);
  // What the disk has spoiled in the trash is not passed on.
  await far.accepted(operation("delete", "b"));
  for (const { stored } of bench.store.trash.withHash(bench.anna.number, sha256(text))) {
    await Deno.writeTextFile(storedAt(bench, stored!), `${text.slice(1)}y`);
  }
  const refused = await far.refused(operation("create", "c", text, { offer: true }));
  assert.equal(refused.code, "content_needed");
  await bench.rest();
});

Deno.test("trash: a peer is not offered what another peer had deleted", async () => {
  await using bench = await ReceiveBench.open();
  const text = "x".repeat(20_000);
  await accepted(bench.link(), "create", "a", text);
  await bench.link().accepted(operation("delete", "a"));
  const bert = bench.link(bench.bert);
  assert.equal((await bert.refused(operation("create", "b", text, { offer: true }))).code, "content_needed");
});

Deno.test("trash: where the home is on another file system the trash is beside the staged files", async () => {
  await using bench = await ReceiveBench.open();
  bench.tree.before = ({ method, args }) => {
    if (method === "rename" && String(args[1]).startsWith(`${HOME_TRASH}/`)) {
      throw new FileError("cross_device", "another file system");
    }
  };
  bench.receiver = await bench.openReceiver(bench.tree);
  const far = bench.link();
  await accepted(far, "create", "a", "v1");
  await far.accepted(operation("delete", "a"));
  assert.deepEqual(await trashOf(bench), [{ path: "a", reason: "deleted", text: "v1" }]);
  assert.deepEqual(await namesIn(bench.synced), []);
  await using again = await bench.restarted();
  assert.deepEqual(await trashOf(again), [{ path: "a", reason: "deleted", text: "v1" }]);
});

Deno.test("trash: a folder in synced/ that is a file system of its own is copied from", async () => {
  await using bench = await ReceiveBench.open();
  const far = bench.link();
  await accepted(far, "create", "mount/a", "v1");
  bench.tree.before = ({ method, args }) => {
    const [from, to] = args as [string, string];
    const leaves = (method === "rename" || method === "link") &&
      from.startsWith("mount/") !== to?.startsWith("mount/");
    if (leaves) throw new FileError("cross_device", "another file system");
  };
  await accepted(far, "update", "mount/a", "v2");
  assert.equal(await Deno.readTextFile(`${bench.synced}/mount/a`), "v2");
  await far.accepted(operation("delete", "mount/a"));
  assert.equal(await exists(`${bench.synced}/mount/a`), false);
  assert.deepEqual((await trashOf(bench)).map(({ text }) => text), ["v1", "v2"]);
  assert.deepEqual(await copiesIn(bench.synced), []);
});

Deno.test("trash: what cannot be put there is not deleted, and a version that is replaced is kept beside", async () => {
  await using bench = await ReceiveBench.open();
  const far = bench.link();
  await accepted(far, "create", "a", "v1");
  await accepted(far, "create", "b", "v1");
  let broken = true;
  bench.tree.before = ({ method, args }) => {
    if (broken && method === "rename" && String(args[1]).startsWith(HOME_TRASH)) {
      throw new FileError("denied", "no permission");
    }
  };
  const { code, message } = await far.refused(operation("delete", "a"));
  assert.equal(code, "no_permission");
  assert.match(String(message), /a was not deleted, because it could not be put into the trash/);
  assert.equal(await Deno.readTextFile(`${bench.synced}/a`), "v1");
  await accepted(far, "update", "b", "v2");
  assert.equal((await copiesIn(bench.synced)).length, 1);
  broken = false;
  await far.accepted(operation("delete", "a"));
  assert.deepEqual(await trashOf(bench), [{ path: "a", reason: "deleted", text: "v1" }]);
});

Deno.test("trash: its folder may be removed by hand", async () => {
  await using bench = await ReceiveBench.open();
  const far = bench.link();
  await accepted(far, "create", "a", "v1");
  await far.accepted(operation("delete", "a"));
  await Deno.remove(`${bench.folder}/trash`, { recursive: true });
  await accepted(far, "create", "b", "v2");
  await far.accepted(operation("delete", "b"));
  const [, second] = bench.store.trash.page(0, 10) as [Trashed, Trashed];
  assert.equal(await Deno.readTextFile(storedAt(bench, second.stored!)), "v2");
});

Deno.test("trash: what is too old goes, and the oldest while all together are too large", async () => {
  await using bench = await ReceiveBench.open();
  bench.trash = { days: 30, bytes: 100_000 };
  bench.receiver = await bench.openReceiver(bench.tree);
  const far = bench.link();
  const first = ["old", ...Array.from({ length: 30 }, (_, i) => `f${String(i).padStart(2, "0")}`)];
  for (const path of first) await accepted(far, "create", path, `${path} `.padEnd(5000, "x"));
  await far.accepted(operation("delete", "old"));
  const [old] = bench.store.trash.page(0, 1) as [Trashed];
  bench.store.trash.remove(old.number);
  bench.store.trash.add({ ...old, trashedMs: Date.now() - 31 * 86_400_000 });
  await bench.receiver.sweep();
  assert.deepEqual(bench.store.trash.page(0, 10), []);
  assert.equal(await exists(storedAt(bench, old.stored!)), false);
  for (const path of first.slice(1)) await far.accepted(operation("delete", path));
  await eventually("it is within its bound", () => {
    const { bytes, files } = bench.store.trash.count();
    assert.ok(bytes <= 100_000 && files >= 8, `${files} files, ${bytes} bytes`);
  }, SOON);
  const kept = (await trashOf(bench)).map(({ path }) => path);
  assert.equal(kept.at(-1), "f29", "the latest one is kept");
  assert.equal((await Array.fromAsync(Deno.readDir(`${bench.folder}/trash`))).length, kept.length);
});

Deno.test("trash: what no row tells of, as its database was lost, goes when it is too old", async () => {
  await using bench = await ReceiveBench.open();
  bench.trash = { days: 30, bytes: 100_000 };
  bench.receiver = await bench.openReceiver(bench.tree);
  const far = bench.link();
  await accepted(far, "create", "a", "v1");
  await accepted(far, "update", "a", "v2");
  const stray = `${bench.folder}/trash/of-a-lost-database`;
  await Deno.writeTextFile(stray, "v0");
  await bench.receiver.sweep();
  assert.equal(await exists(stray), true, "it is young");
  assert.deepEqual((await trashOf(bench)).map(({ text }) => text), ["v1"]);
  bench.trash = { days: 0, bytes: 100_000 };
  bench.receiver = await bench.openReceiver(bench.tree);
  await eventually("its milliseconds are over", async () => {
    bench.receiver = await bench.openReceiver(bench.tree);
    await bench.receiver.sweep();
    assert.equal(await exists(stray), false);
  }, SOON);
});

Deno.test("trash: of a file that is replaced again and again the older versions go first", async () => {
  await using bench = await ReceiveBench.open();
  bench.trash = { days: 30, bytes: 100_000 };
  bench.receiver = await bench.openReceiver(bench.tree);
  const far = bench.link();
  await accepted(far, "create", "once", "deleted once");
  await far.accepted(operation("delete", "once"));
  for (let i = 0; i < 40; i++) {
    await accepted(far, i === 0 ? "create" : "update", "often", `version ${i} `.padEnd(3000));
  }
  await eventually(
    "it is within its bound",
    () => assert.ok(bench.store.trash.count().bytes <= 100_000),
    SOON,
  );
  const kept = await trashOf(bench);
  assert.equal(kept[0]?.path, "once");
  assert.match(kept.at(-1)!.text, /^version 38 /);
});

Deno.test("trash: a disk that is full of it takes what comes all the same", async () => {
  await using bench = await ReceiveBench.open();
  const far = bench.link();
  await accepted(far, "create", "a", "x".repeat(40_000));
  await far.accepted(operation("delete", "a"));
  // 16 MiB are always left free: with what is in the trash there is just room.
  bench.tree.freeBytes = () =>
    Promise.resolve(16 * 1024 * 1024 + (bench.store.trash.count().files > 0 ? 10 : 40_960));
  bench.receiver = await bench.openReceiver(bench.tree);
  await accepted(far, "create", "b", "y".repeat(30_000));
  assert.deepEqual(await trashOf(bench), []);
  assert.equal(
    (await far.refused(operation("create", "c", "z".repeat(50_000)), "z".repeat(50_000))).code,
    "no_space",
  );
});

const isTrash = (value: unknown) => typeof value === "string" && value.startsWith(`${HOME_TRASH}/`);
const POINTS: readonly { name: string; when: "before" | "after"; at: (call: Call) => boolean }[] = [
  {
    name: "before it comes into the trash",
    when: "before",
    at: ({ method, args }) => method === "rename" && isTrash(args[1]),
  },
  {
    name: "after it came into the trash",
    when: "after",
    at: ({ method, args }) => method === "rename" && isTrash(args[1]),
  },
  {
    name: "before the trash is flushed",
    when: "before",
    at: ({ method, args }) => method === "flushFolder" && args[0] === HOME_TRASH,
  },
  {
    name: "after the trash was flushed",
    when: "after",
    at: ({ method, args }) => method === "flushFolder" && args[0] === HOME_TRASH,
  },
];

for (const action of ["update", "delete"] as const) {
  Deno.test(`trash, crash: ${action}: the old version is in its place or in the trash, and in one of them only`, async (t) => {
    for (const point of POINTS) {
      for (const count of [1, 12]) {
        await t.step(`${point.name}, ${count} files`, async () => {
          await using bench = await ReceiveBench.open();
          const paths = Array.from({ length: count }, (_, i) => `d/${i}`);
          const first = bench.link();
          await Promise.all(paths.map((path) => accepted(first, "create", path, `old ${path}`)));
          await bench.receiver.close();
          let dead = false;
          bench.tree[point.when] = (call) => {
            if (dead) return death();
            if (!point.at(call)) return;
            dead = true;
            bench.tree.before = death;
            bench.tree.after = death;
            return death();
          };
          const content = action === "update" ? "new" : "";
          let answered = false;
          const far = bench.link();
          for (const path of paths) {
            void far.request(operation(action, path, content), content).then(() => answered = true);
          }
          await eventually("it is dead", () => assert.ok(dead), SOON);
          assert.equal(answered, false);
          await using again = await bench.restarted();
          await assertAtRest(again.synced);
          const check = async () => {
            const trash = await trashOf(again);
            for (const path of paths) {
              const inPlace = await exists(`${again.synced}/${path}`) &&
                await Deno.readTextFile(`${again.synced}/${path}`) === `old ${path}`;
              const inTrash = trash.filter((each) => each.path === path);
              assert.equal(
                Number(inPlace) + inTrash.length,
                1,
                `${path}: ${inPlace} ${JSON.stringify(inTrash)}`,
              );
              if (inTrash.length > 0) assert.equal(inTrash[0]!.text, `old ${path}`);
            }
          };
          await check();
          await again.receiver.inspect(again.anna);
          assert.deepEqual(await copiesIn(again.synced), []);
          const anna = again.link();
          await Promise.all(paths.map((path) => anna.accepted(operation(action, path, content), content)));
          await check();
          const files = await Array.fromAsync(Deno.readDir(`${again.folder}/trash`));
          assert.equal(files.length, count, "every version is in the trash once");
          assert.deepEqual(await copiesIn(again.synced), []);
        });
      }
    }
  });
}

Deno.test("trash, power cut: a version that was not flushed yet when it went is whole in the trash", async () => {
  await using bench = await ReceiveBench.open();
  const paths = Array.from({ length: 12 }, (_, i) => `d/${i}` as RelativePath);
  const far = bench.link();
  await Promise.all(paths.map((path) => accepted(far, "create", path, `old ${path}`)));
  await Promise.all(paths.map((path) => far.accepted(operation("delete", path))));
  await bench.disk.cutPower("zeros");
  for (const { stored, path } of bench.store.trash.page(0, 100)) {
    assert.equal(await Deno.readTextFile(storedAt(bench, stored!)), `old ${path}`);
  }
  await put(`${bench.folder}/done`, "");
});
