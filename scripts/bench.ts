/**
 * `deno task bench`: MirrorSync beside rsync, Syncthing and Unison, where they are installed, on this machine and in one run.
 * It measures and says so; it never fails because of a number. `--help` lists the options.
 */
import { parseArgs } from "node:util";
import { benchEveryday } from "./bench/everyday.ts";
import { benchFloor } from "./bench/floor.ts";
import { benchLargeChanges, LARGE_PARTS } from "./bench/large_changes.ts";
import { describeMachine, firstLine } from "./bench/machine.ts";
import { makeMirrorSyncPair } from "./bench/mirrorsync_pair.ts";
import type { MakeCommandTool } from "./bench/command_tool.ts";
import type { MakePair } from "./bench/pair.ts";
import { asMarkdown, asText, type CommandName, type PairName } from "./bench/report.ts";
import { makeRsync } from "./bench/rsync.ts";
import { Session } from "./bench/session.ts";
import { makeSyncthingPair } from "./bench/syncthing_pair.ts";
import { benchLargeFile, benchSmallFiles } from "./bench/transfers.ts";
import { makeUnison } from "./bench/unison.ts";
import { makeLargeFile, makeSmallFiles } from "./bench/workload.ts";
import { FROM_CHECKOUT } from "./support/mirror_peer.ts";

const HELP = `deno task bench [options]

  --only a,b         parts, all of them unless told:
                       a many small files   b one large file   c save latency   d peak memory during b   e idle
                       f a small edit in a large file          g a release to the next (npm fetches both)
                       h a folder of large files renamed       i a transfer that is cut at 90 %
                       j saves during a large transfer         k a large file copied, a tar unpacked beside itself
                       l the floor of b: TLS and SHA-256 on both sides, and nothing else
                     f, g and h measure bytes on the wire and time, i and k bytes only
  --without NAMES    leave out mirrorsync, rsync, syncthing or unison
  --runs N           how often a, b, l and the times of f and h are measured, the median counts (3)
  --files N          small files of 4 KiB (10000)      --mib N   size of what is large, in MiB (1024)
  --saves N          saves in c (200)                  --idle N  seconds of idling in e (20)
  --program PATH     a compiled mirrorsync instead of the checkout
  --dir DIR          where to work, on the disk that is to be measured (the system's folder for temporary files)
  --out FILE         write the table as Markdown too   --json    one JSON value on stdout instead of the table`;

const { values: options } = parseArgs({
  args: Deno.args,
  options: {
    only: { type: "string", default: ["a", "b", "c", "d", "e", ...LARGE_PARTS, "l"].join(",") },
    without: { type: "string", default: "" },
    runs: { type: "string", default: "3" },
    files: { type: "string", default: "10000" },
    mib: { type: "string", default: "1024" },
    saves: { type: "string", default: "200" },
    idle: { type: "string", default: "20" },
    program: { type: "string" },
    dir: { type: "string" },
    out: { type: "string" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (options.help) {
  console.log(HELP);
  Deno.exit(0);
}
const parts = new Set(options.only.split(","));
const runs = count("runs");
const files = count("files");
const mebibytes = count("mib");
const everyday = { parts, saves: count("saves"), idleMs: count("idle") * 1000 };
const without = new Set(options.without.split(","));
const program = options.program === undefined ? FROM_CHECKOUT : [Deno.realPathSync(options.program)];
const problems: string[] = [];

const work = Deno.makeTempDirSync({
  prefix: "mirrorsync-bench-",
  ...(options.dir === undefined ? {} : { dir: options.dir }),
});
const pairs = new Map<PairName, MakePair>();
const commands = new Map<CommandName, MakeCommandTool>();
if (!without.has("mirrorsync")) {
  pairs.set("MirrorSync", (folder, wire) => makeMirrorSyncPair(folder, wire, program));
}
if (await has("syncthing")) pairs.set("Syncthing", makeSyncthingPair);
if (await has("rsync")) commands.set("rsync", makeRsync);
if (await has("unison", "-version")) commands.set("Unison", makeUnison);
const session = new Session(Deno.realPathSync(work), runs, { pairs, commands });
session.problems.push(...problems);
for (
  const signal of Deno.build.os === "windows" ? ["SIGINT"] as const : ["SIGINT", "SIGTERM", "SIGHUP"] as const
) {
  Deno.addSignalListener(signal, async () => {
    session.say("stopping");
    await session.tidyUp();
    Deno.exit(130);
  });
}

try {
  const machine = await describeMachine(session.folder, program);
  if (parts.has("a") || parts.has("c") || parts.has("e")) {
    session.say("making the small files");
    const workload = makeSmallFiles(session.folder, files, 4096);
    if (parts.has("a")) await benchSmallFiles(session, workload);
    if (parts.has("c") || parts.has("e")) await benchEveryday(session, workload, everyday);
  }
  if (parts.has("b") || parts.has("d") || parts.has("l")) {
    session.say("making the large file");
    const workload = makeLargeFile(session.folder, mebibytes);
    if (parts.has("b") || parts.has("d")) await benchLargeFile(session, workload, parts);
    if (parts.has("l")) await benchFloor(session, workload, program);
  }
  await benchLargeChanges(session, parts, mebibytes);
  const rows = session.rows.toSorted((a, b) => a.part < b.part ? -1 : a.part > b.part ? 1 : 0);
  const report = { machine, rows, problems: session.problems };
  if (options.out !== undefined) Deno.writeTextFileSync(options.out, asMarkdown(report));
  console.log(options.json ? JSON.stringify(report) : asText(report));
} finally {
  await session.tidyUp();
}
Deno.exit(0);

/** Whether a tool is wanted and there; one that is wanted and not there is a problem. */
async function has(name: string, versionFlag = "--version"): Promise<boolean> {
  if (without.has(name)) return false;
  if (await firstLine(name, versionFlag) !== null) return true;
  problems.push(`${name} is not installed`);
  return false;
}

function count(name: "runs" | "files" | "mib" | "saves" | "idle"): number {
  const value = Number(options[name]);
  if (!Number.isInteger(value) || value < 1) {
    console.error(`--${name} wants a whole number above 0, not ${options[name]}`);
    Deno.exit(2);
  }
  return value;
}
