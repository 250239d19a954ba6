/**
 * `deno task bench`: MirrorSync beside rsync and Syncthing, where they are installed, on this machine and in one run.
 * It measures and says so; it never fails because of a number. `--help` lists the options.
 */
import { parseArgs } from "node:util";
import { benchEveryday } from "./bench/everyday.ts";
import { describeMachine, firstLine } from "./bench/machine.ts";
import { makeMirrorSyncPair } from "./bench/mirrorsync_pair.ts";
import { asMarkdown, asText } from "./bench/report.ts";
import { Session } from "./bench/session.ts";
import { makeSyncthingPair } from "./bench/syncthing_pair.ts";
import { benchLargeFile, benchSmallFiles } from "./bench/transfers.ts";
import { makeLargeFile, makeSmallFiles } from "./bench/workload.ts";
import { FROM_CHECKOUT } from "./support/mirror_peer.ts";

const HELP = `deno task bench [options]

  --only a,b         parts: a many small files, b one large file, c save latency, d peak memory during b, e idle
  --without NAMES    leave out mirrorsync, rsync or syncthing
  --runs N           how often a and b are measured, the median counts (3)
  --files N          small files of 4 KiB (10000)      --mib N   size of the large file in MiB (1024)
  --saves N          saves in c (200)                  --idle N  seconds of idling in e (20)
  --program PATH     a compiled mirrorsync instead of the checkout
  --dir DIR          where to work, on the disk that is to be measured (the system's folder for temporary files)
  --out FILE         write the table as Markdown too   --json    one JSON value on stdout instead of the table`;

const { values: options } = parseArgs({
  args: Deno.args,
  options: {
    only: { type: "string", default: "a,b,c,d,e" },
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
const has = async (name: string) => !without.has(name) && await firstLine(name, "--version") !== null;

const work = Deno.makeTempDirSync({
  prefix: "mirrorsync-bench-",
  ...(options.dir === undefined ? {} : { dir: options.dir }),
});
const session = new Session(Deno.realPathSync(work), runs, await has("rsync"), [
  ...(without.has("mirrorsync")
    ? []
    : [["MirrorSync", (folder: string) => makeMirrorSyncPair(folder, program)] as const]),
  ...(await has("syncthing") ? [["Syncthing", makeSyncthingPair] as const] : []),
]);
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
  if (parts.has("b") || parts.has("d")) {
    session.say("making the large file");
    await benchLargeFile(session, makeLargeFile(session.folder, mebibytes), parts);
  }
  const rows = session.rows.toSorted((a, b) => a.part < b.part ? -1 : a.part > b.part ? 1 : 0);
  const report = { machine, rows, problems: session.problems };
  if (options.out !== undefined) Deno.writeTextFileSync(options.out, asMarkdown(report));
  console.log(options.json ? JSON.stringify(report) : asText(report));
} finally {
  await session.tidyUp();
}
Deno.exit(0);

function count(name: "runs" | "files" | "mib" | "saves" | "idle"): number {
  const value = Number(options[name]);
  if (!Number.isInteger(value) || value < 1) {
    console.error(`--${name} wants a whole number above 0, not ${options[name]}`);
    Deno.exit(2);
  }
  return value;
}
