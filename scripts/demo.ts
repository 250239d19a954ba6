/**
 * `deno task demo [--keep]`: two peers on this machine, and what a mirror is for: a real tree copied in, edits, renames,
 * deletions, a peer that is cut off and comes back, and both sides compared byte for byte. With `--keep` the two go on
 * running. Exit status: 0 when everything was equal, 1 when not or when something failed, 130 after Ctrl-C.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import pc from "picocolors";
import { heading, line, type Outcome, step, timed } from "./demo/lines.ts";
import { countFiles, pickPaths, type Picks, shortly } from "./demo/picks.ts";
import { countInJson } from "./support/count_in_json.ts";
import { MirrorPeer } from "./support/mirror_peer.ts";
import { projectPackages } from "./support/project_packages.ts";
import { ROOT } from "./support/root.ts";
import { median, pad, plural, showMs } from "./support/text.ts";
import {
  compareFolders,
  copyTree,
  lstatOrNull,
  readTree,
  sameTree,
  treeDifferences,
} from "./support/tree.ts";
import { DeadlineError, sleep, until } from "./support/until.ts";

const options = parseArgs({ args: Deno.args, options: { keep: { type: "boolean", default: false } } }).values;
const startedAt = performance.now();
const work = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "mirrorsync-demo-" }));
const laptop = new MirrorPeer("laptop", join(work, "laptop"));
const desktop = new MirrorPeer("desktop", join(work, "desktop"));
const there = { watched: laptop.watched, synced: desktop.synced };
const back = { watched: desktop.watched, synced: laptop.synced };
const unix = Deno.build.os !== "windows";

for (const signal of unix ? ["SIGINT", "SIGTERM", "SIGHUP"] as const : ["SIGINT", "SIGBREAK"] as const) {
  Deno.addSignalListener(signal, async () => {
    console.log(pc.dim("\n\nstopping both peers and removing the folders …"));
    await tidyUp();
    Deno.exit(130);
  });
}

let good = false;
try {
  good = await demo();
} catch (error) {
  console.error(`\n\n${pc.red("The demo failed:")} ${error instanceof Error ? error.message : error}`);
  if (error instanceof DeadlineError) showDifferences();
  for (const peer of [laptop, desktop]) {
    const words = peer.lastWords();
    if (words !== "") console.error(`\n${pc.bold(peer.name)} said last:\n${words}`);
  }
}
if (good && options.keep) showHowToLook();
else await tidyUp();
Deno.exit(good ? 0 : 1);

async function demo(): Promise<boolean> {
  console.log(
    `\n${pc.bold("MirrorSync")}: two peers on this machine, over mutual TLS, each with its own home\n`,
  );
  console.log(`  laptop/watched   ${pc.cyan("──────▶")}  desktop/synced`);
  console.log(`  desktop/watched  ${pc.cyan("──────▶")}  laptop/synced\n`);

  heading("Set up");
  const packages = await step("fetch what the program needs (once)", timed(() => projectPackages("main.ts")));
  await step(
    "make two identities; each trusts the other's certificate",
    timed(async () => {
      await Promise.all([laptop.init(), desktop.init()]);
      await Promise.all([laptop.trust(desktop), desktop.trust(laptop)]);
    }),
  );
  Deno.writeTextFileSync(join(there.watched, "hello from laptop.txt"), "hello\n");
  Deno.writeTextFileSync(join(back.watched, "hello from desktop.txt"), "hello\n");
  await step("start both; they find each other and exchange a first file", async () => {
    laptop.start();
    desktop.start();
    return { took: await equalBothWays(1) };
  });

  heading("A real tree, both ways");
  const trees = realTrees(packages);
  await step(`copy ${trees.there.what} to laptop`, () => copyIn(trees.there.folders, there));
  await step(`copy ${trees.back.what} to desktop`, () => copyIn(trees.back.folders, back));

  heading("Work in it: how long until it is on the other disk");
  const picks = pickPaths(readTree(there.watched));
  const saves = await saveMany(picks.edited);
  await step(`edit ${shortly(picks.edited)}`, () => edit(there, picks.edited, "\n// edited on laptop\n"));
  await step("write a new file in desktop", () => edit(back, "notes/today.md", "# Made on desktop ✓\n"));
  await step(
    `rename the file ${shortly(picks.renamed)}`,
    () => move(picks.renamed, picks.renamed + ".renamed"),
  );
  const inside = plural(filesIn(picks.movedFolder), "file");
  await step(
    `rename the folder ${shortly(picks.movedFolder)} (${inside})`,
    () => move(picks.movedFolder, "renamed folder"),
  );
  await step(
    `delete the folder ${shortly(picks.deletedFolder)} (${plural(filesIn(picks.deletedFolder), "file")})`,
    () => {
      const since = performance.now();
      Deno.removeSync(join(there.watched, picks.deletedFolder), { recursive: true });
      return arrives(
        "the deletion",
        () => lstatOrNull(join(there.synced, picks.deletedFolder)) === null,
        since,
      );
    },
  );
  if (unix) {
    await step("make a file executable", () => {
      const since = performance.now();
      Deno.chmodSync(join(there.watched, picks.edited), 0o755);
      const bit = () => ((lstatOrNull(join(there.synced, picks.edited))?.mode ?? 0) & 0o100) !== 0;
      return arrives("the executable bit", bit, since);
    });
  }

  heading("Take desktop away, and bring it back");
  await step("kill desktop (kill -9, as a power cut would)", timed(() => desktop.kill()));
  await step(
    "meanwhile edit, add, rename and delete on both sides",
    async () => ({ note: await changeWhileAway(picks) }),
  );
  await step("start desktop again; everything arrives, in both directions", async () => {
    desktop.start();
    return { took: await equalBothWays(20) };
  });

  heading("Compare, byte for byte");
  const sides = [
    { name: "laptop/watched  = desktop/synced", ...compareFolders(there.watched, there.synced) },
    { name: "desktop/watched = laptop/synced", ...compareFolders(back.watched, back.synced) },
  ];
  for (const { name, files, folders, bytes, differences } of sides) {
    const counts = `${plural(files, "file")}, ${plural(folders, "folder")}, ${(bytes / 1e6).toFixed(1)} MB`;
    const verdict = differences.length === 0
      ? pc.green("equal")
      : pc.red(plural(differences.length, "difference"));
    line(
      differences.length === 0 ? pc.green("✓") : pc.red("✗"),
      `${pad(name, 34)} ${pc.dim(counts)}`,
      verdict,
    );
    for (const difference of differences.slice(0, 10)) console.log(`      ${difference}`);
  }
  checkPeers();
  const equal = sides.every((side) => side.differences.length === 0);
  const cleanly = options.keep || (await Promise.all([laptop.stop(), desktop.stop()])).every(Boolean);
  if (!cleanly) console.log(`  ${pc.red("✗")} a peer did not end cleanly within 5 s of being asked to`);

  heading("Summary");
  line(" ", "a save, from one disk to the other: median of 20", pc.bold(showMs(median(saves))));
  line(" ", "the slowest of them", showMs(Math.max(...saves)));
  line(
    " ",
    "SHA-256, times, executable bits and folders compared",
    equal ? pc.green("all equal") : pc.red("UNEQUAL"),
  );
  line(" ", "the whole demo", showMs(performance.now() - startedAt));
  console.log();
  return equal && cleanly;
}

interface Direction {
  readonly watched: string;
  readonly synced: string;
}

interface Source {
  readonly what: string;
  readonly folders: readonly { readonly name: string; readonly folder: string }[];
}

/** What there is to copy: the packages that this program is built on, and its own source. */
function realTrees(packages: Source["folders"]): { there: Source; back: Source } {
  const own = ["src", "scripts", "tests", "docs"].map((name) => ({ name, folder: join(ROOT, name) }));
  const source = (what: string, folders: Source["folders"]): Source => {
    const files = folders.reduce((sum, { folder }) => sum + countFiles(readTree(folder)), 0);
    return { what: `${what} (${plural(files, "file")})`, folders };
  };
  const back = source("this project's source", own.filter(({ folder }) => lstatOrNull(folder) !== null));
  return {
    there: packages.length === 0 ? back : source(plural(packages.length, "npm package"), packages),
    back,
  };
}

async function copyIn(
  folders: readonly { name: string; folder: string }[],
  way: Direction,
): Promise<Outcome> {
  const since = performance.now();
  for (const { name, folder } of folders) await copyTree(folder, join(way.watched, "tree", name));
  const copied = performance.now() - since;
  const took = await equal(way, 10, since);
  return { took, note: `the copying itself ${showMs(copied)}` };
}

/** Saves one file 20 times, 50 ms apart, and tells how long each took to the other disk. */
async function saveMany(path: string): Promise<number[]> {
  const took: number[] = [];
  await step("save one file 20 times, 50 ms apart", async () => {
    for (let i = 1; i <= 20; i++) {
      const since = performance.now();
      took.push((await edit(there, path, `// save ${i}\n`)).took!);
      await sleep(Math.max(0, 50 - (performance.now() - since)));
    }
    return { took: median(took), note: "the median" };
  });
  return took;
}

/** Appends to a file (or makes it) and waits until the other side has that content. */
function edit(way: Direction, path: string, text: string): Promise<Outcome> {
  const source = join(way.watched, path);
  Deno.mkdirSync(join(source, ".."), { recursive: true });
  const since = performance.now();
  Deno.writeTextFileSync(source, text, { append: true });
  const size = Deno.statSync(source).size;
  const target = join(way.synced, path);
  const done = () => lstatOrNull(target)?.size === size && Deno.readTextFileSync(target).endsWith(text);
  return arrives("the edit", done, since);
}

/** Renames a file or folder in laptop and waits until the other side has it under the new name only. */
function move(from: string, to: string): Promise<Outcome> {
  const since = performance.now();
  Deno.renameSync(join(there.watched, from), join(there.watched, to));
  const expected = readTree(join(there.watched, to));
  return arrives(
    "the new name",
    () =>
      lstatOrNull(join(there.synced, from)) === null && lstatOrNull(join(there.synced, to)) !== null &&
      sameTree(expected, readTree(join(there.synced, to))),
    since,
  );
}

async function changeWhileAway(picks: Picks): Promise<string> {
  Deno.writeTextFileSync(join(there.watched, picks.edited), "\n// edited while desktop was away\n", {
    append: true,
  });
  Deno.mkdirSync(join(there.watched, "while away/empty folder"), { recursive: true });
  for (let i = 1; i <= 20; i++) {
    Deno.writeTextFileSync(join(there.watched, `while away/new ${i}.txt`), `file ${i}\n`);
  }
  Deno.removeSync(join(there.watched, picks.deletedLater));
  Deno.renameSync(join(there.watched, picks.movedLater), join(there.watched, "renamed while away"));
  Deno.writeTextFileSync(join(back.watched, "notes/today.md"), "edited while nothing watched\n", {
    append: true,
  });
  Deno.renameSync(join(back.watched, "hello from desktop.txt"), join(back.watched, "hello again.txt"));
  for (let attempt = 0; attempt < 10; attempt++) {
    const waiting = countInJson(await laptop.command("pending", "--json"));
    if (waiting > 0) return `laptop keeps ${plural(waiting, "path")} as pending`;
    await sleep(100);
  }
  throw new Error("laptop lists nothing as pending although desktop is away");
}

function filesIn(folder: string): number {
  return countFiles(readTree(join(there.watched, folder)));
}

async function arrives(what: string, done: () => boolean, since: number): Promise<Outcome> {
  return { took: await until(what, done, { everyMs: 1, deadlineMs: 30_000, check: checkPeers }, since) };
}

function equal(way: Direction, everyMs: number, since = performance.now()): Promise<number> {
  const same = () => sameTree(readTree(way.watched), readTree(way.synced));
  return until("both sides to be equal", same, { everyMs, deadlineMs: 60_000, check: checkPeers }, since);
}

async function equalBothWays(everyMs: number): Promise<number> {
  const since = performance.now();
  await equal(there, everyMs, since);
  return await equal(back, everyMs, since);
}

function checkPeers(): void {
  laptop.checkAlive();
  desktop.checkAlive();
}

function showDifferences(): void {
  for (const [name, way] of [["laptop → desktop", there], ["desktop → laptop", back]] as const) {
    const differences = treeDifferences(readTree(way.watched), readTree(way.synced));
    console.error(`  ${name}: ${plural(differences.length, "difference")}`);
    for (const difference of differences.slice(0, 5)) console.error(`    ${difference}`);
  }
}

function showHowToLook(): void {
  console.log(
    pc.bold(
      "Both go on running. Save something in a watched folder and look into the other's synced folder:",
    ),
  );
  for (const peer of [laptop, desktop]) {
    console.log(`\n  ${pc.bold(peer.name)} ${pc.dim(`(process ${peer.pid}, ${peer.address})`)}`);
    console.log(`    watched  ${peer.watched}\n    synced   ${peer.synced}\n    output   ${peer.logFile}`);
    console.log(
      `    ${pc.dim("$")} ${peer.commandLine("status")}\n    ${pc.dim("$")} ${peer.commandLine("log")}`,
    );
  }
  const stop = unix
    ? `kill ${laptop.pid} ${desktop.pid}; rm -r ${work}`
    : `taskkill /F /PID ${laptop.pid} /PID ${desktop.pid} & rmdir /s /q ${work}`;
  console.log(`\n  To stop both and remove everything:\n    ${pc.dim("$")} ${stop}\n`);
}

async function tidyUp(): Promise<void> {
  await Promise.all([laptop.stop(2000), desktop.stop(2000)]);
  for (let attempt = 0; attempt < 10; attempt++) {
    try {
      Deno.removeSync(work, { recursive: true });
      return;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      await sleep(100); // Windows lets go of a process's files a moment after its end
    }
  }
  console.error(`could not remove ${work}`);
}
