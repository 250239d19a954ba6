/**
 * `scripts/smoke PROGRAM…`, or `deno task smoke PROGRAM…`: proves the main job with two of any build of the program, as a new user
 * would use them: both are initialised, pair by an invite, mirror files each way, one is killed and changes are made meanwhile, it
 * comes back, and both sides are compared byte for byte. PROGRAM is the path of an executable, or a command line with its
 * arguments (`deno run -A main.ts`). Exit status: 0 when all of it worked, 1 with the step that did not, 2 when there is nothing to run.
 */
import { existsSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { MirrorPeer } from "./support/mirror_peer.ts";
import { plural, showMs } from "./support/text.ts";
import { compareFolders, readTree, sameTree } from "./support/tree.ts";
import { until } from "./support/until.ts";

const [first, ...rest] = Deno.args;
if (first === undefined) {
  console.error("smoke: name what is to be proved: the path of an executable, or a command line");
  Deno.exit(2);
}
const unusable = whyNotRun(first);
if (unusable !== null) {
  console.error(`smoke: ${unusable}`);
  Deno.exit(2);
}
// A path is taken from where the user is; a command is found by PATH.
const program = [
  existsSync(first) ? resolve(first) : first,
  ...rest.map((word) => existsSync(word) ? resolve(word) : word),
];
const work = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "mirrorsync-smoke-" }));
const here = new MirrorPeer("here", join(work, "here"), program);
const there = new MirrorPeer("there", join(work, "there"), program);
const ways = [{ from: here.watched, to: there.synced }, { from: there.watched, to: here.synced }];

async function step(name: string, work: () => Promise<string | void>): Promise<void> {
  const since = performance.now();
  const note = await work().catch((error) => {
    throw new Error(`${name}: ${error instanceof Error ? error.message : error}`, { cause: error });
  });
  console.log(`  ✓ ${name} (${showMs(performance.now() - since)})${note ? `: ${note}` : ""}`);
}

/** Waits until both directions are mirrored, then compares every byte. */
async function compare(): Promise<string> {
  const check = () => (here.checkAlive(), there.checkAlive());
  const same = () => ways.every(({ from, to }) => sameTree(readTree(from), readTree(to)));
  await until("both sides to be equal", same, { everyMs: 20, deadlineMs: 60_000, check });
  const compared = ways.map(({ from, to }) => compareFolders(from, to));
  const differences = compared.flatMap((one) => one.differences);
  if (differences.length > 0) throw new Error(differences.slice(0, 5).join("; "));
  return `${plural(compared.reduce((sum, one) => sum + one.files, 0), "file")} equal`;
}

function write(folder: string, name: string, content: string | Uint8Array): void {
  const path = join(folder, name);
  Deno.mkdirSync(join(path, ".."), { recursive: true });
  if (typeof content === "string") Deno.writeTextFileSync(path, content);
  else Deno.writeFileSync(path, content);
}

async function cleanUp(): Promise<void> {
  await Promise.all([here.stop(2000), there.stop(2000)]);
  rmSync(work, { recursive: true, force: true });
}

// They are in groups of their own: Ctrl-C does not reach them.
for (const signal of ["SIGINT", ...(Deno.build.os === "windows" ? [] : ["SIGTERM"] as const)] as const) {
  Deno.addSignalListener(signal, () => void cleanUp().finally(() => Deno.exit(130)));
}

let good = false;
try {
  console.log(`Smoke test of ${program.join(" ")}`);
  await step("it tells its version", async () => {
    const said = (await here.run("--version")).trim();
    if (/^\d+\.\d+\.\d+\S*$/.test(said)) return said;
    throw new Error(`this is no MirrorSync: it says ${JSON.stringify(said.split("\n", 1)[0])}`);
  });
  await step("two homes are made", async () => {
    await here.init();
    await there.init();
  });
  await step("they pair by an invite", async () => {
    here.start();
    await until("the first to listen", () => listens(here.port), {
      everyMs: 50,
      deadlineMs: 30_000,
      check: () => here.checkAlive(),
    });
    const { invite } = JSON.parse(await here.command("invite", "--address", here.address, "--json"));
    await there.command("join", invite);
    there.start();
  });
  write(here.watched, "notes/plan.txt", "from here\n");
  write(there.watched, "Ünïcode/ñandú.txt", "from there\n");
  write(here.watched, "large.bin", crypto.getRandomValues(new Uint8Array(65_536)).toBase64().repeat(40));
  Deno.mkdirSync(join(here.watched, "an empty folder"));
  await step("they mirror each other", compare);
  await step("the second is killed, and both sides change", async () => {
    await there.kill();
    write(here.watched, "notes/plan.txt", "changed while the other was away\n");
    Deno.removeSync(join(here.watched, "an empty folder"));
    for (let i = 0; i < 50; i++) write(here.watched, `many/${i}.txt`, `${i}\n`);
    Deno.renameSync(join(there.watched, "Ünïcode"), join(there.watched, "renamed"));
  });
  await step("it comes back, and everything arrives", () => {
    there.start();
    return compare();
  });
  await step("the trail is there", async () => {
    const rows = JSON.parse(await there.command("log", "--path", "notes/plan.txt", "--json"));
    if (!Array.isArray(rows) || rows.length < 2) throw new Error("the log does not list what arrived");
  });
  await step("both end cleanly", async () => {
    if (!await here.stop() || !await there.stop()) {
      throw new Error("one did not end with 0 when it was asked to");
    }
  });
  good = true;
  console.log("smoke: passed");
} catch (error) {
  console.error(`smoke: failed: ${error instanceof Error ? error.message : error}`);
  for (const peer of [here, there]) {
    const words = peer.lastWords();
    if (words !== "") console.error(`${peer.name} said last:\n${words}`);
  }
} finally {
  await cleanUp();
}
Deno.exit(good ? 0 : 1);

/** What is wrong with the path of a program, with the way out; `null` when nothing is, or it is to be found by PATH. */
function whyNotRun(program: string): string | null {
  if (!existsSync(program)) {
    return /[\\/]/.test(program) ? `there is no file ${program}` : null;
  }
  const { isFile, mode } = Deno.statSync(program);
  if (!isFile) return `${program} is no file: name the executable`;
  if (Deno.build.os === "windows" || mode === null || (mode & 0o111) !== 0) return null;
  return `${program} may not be executed. If it is a build of MirrorSync:  chmod +x ${program}`;
}

function listens(port: number): boolean {
  try {
    // A port that can be taken is nobody's.
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return false;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return true;
    throw error;
  }
}
