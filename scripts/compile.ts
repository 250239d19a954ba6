/**
 * `deno task compile [--all] [--dist DIR] [FLAGS OF deno compile]`: the program as one executable in `dist/`, allowed no more than
 * what it does: for this machine, or with `--all` for every system of a release. Beside them `SHA256SUMS`, `builds.json` with the
 * size of each, and `LICENSES.txt`. What is embedded is checked: all that is needed, and nothing else. The same source and base
 * runtime give the same bytes, wherever and by whomever they are compiled.
 *
 * `DENORT_BIN` names a base runtime to use instead of the one that Deno downloads; `{target}` in it stands for the target.
 */
import { join, relative, resolve } from "node:path";
import manifest from "../deno.json" with { type: "json" };
import { holdsText, judgeEmbedded, readEmbeddedSize, readListing } from "./compile/embedded.ts";
import { licenseTexts } from "./compile/licenses.ts";
import { type Stage, stage } from "./compile/stage.ts";
import { type Target, TARGETS, thisMachine } from "./compile/targets.ts";
import { type ModuleGraph, moduleGraph } from "./support/module_graph.ts";
import { programFlags } from "./support/program_flags.ts";
import { ROOT } from "./support/root.ts";
import { showBytes } from "./support/text.ts";
import { hashFile } from "./support/tree.ts";

/** An executable that was made. */
interface Build {
  readonly file: string;
  readonly target: string;
  readonly version: string;
  readonly bytes: number;
  /** What is in it beside the base runtime, as Deno shows it. */
  readonly embedded: string | null;
  readonly sha256: string;
}

interface Arguments {
  readonly all: boolean;
  /** Whether the types are checked first. */
  readonly check: boolean;
  readonly dist: string;
  /** For `deno compile`. */
  readonly flags: readonly string[];
}

/** What a person can do something about: it is told without a stack. */
class Failure extends Error {}

try {
  await compile(readArguments(Deno.args));
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  console.error(`compile: ${error.message}`);
  Deno.exit(1);
}

async function compile({ all, check, dist, flags }: Arguments): Promise<void> {
  const targets = all ? TARGETS : [thisMachine()];
  for (const { triple } of targets) mustBeThere(baseFor(triple));
  if (check) await typeCheck();
  const extra = workers(join(ROOT, "src"));
  const need = await moduleGraph(["main.ts", ...extra]);

  Deno.mkdirSync(dist, { recursive: true });
  const builds: Build[] = [];
  {
    using staged = await stage(need);
    for (const target of targets) {
      builds.push(
        await build(target, join(dist, target.file), staged, need, [
          ...extra.flatMap((path) => ["--include", path]),
          ...flags,
        ]),
      );
    }
  }
  Deno.writeTextFileSync(
    join(dist, "SHA256SUMS"),
    builds.map(({ sha256, file }) => `${sha256}  ${file}\n`).join(""),
  );
  Deno.writeTextFileSync(join(dist, "builds.json"), JSON.stringify(builds, null, 2) + "\n");
  Deno.writeTextFileSync(join(dist, "LICENSES.txt"), licenseTexts(need.packages));
  for (const { file, bytes, embedded, sha256 } of builds) {
    console.log(
      `${join(dist, file)}  ${showBytes(bytes)}, ${embedded ?? "?"} of it the program's  ${sha256}`,
    );
  }
}

/** Of the project as it is: what is staged lacks what is there for its types alone. */
async function typeCheck(): Promise<void> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["check", "--frozen", "--quiet", "main.ts"],
    cwd: ROOT,
    stdin: "null",
  }).output();
  if (!success) throw new Failure("main.ts does not pass the check of its types: see  deno check main.ts");
}

/** The base runtime that was named for a target; `undefined` when Deno is to download it. */
function baseFor(triple: string): string | undefined {
  const named = Deno.env.get("DENORT_BIN") || undefined;
  return named === undefined ? undefined : resolve(named.replaceAll("{target}", triple));
}

function mustBeThere(base: string | undefined): void {
  if (base === undefined) return;
  try {
    if (Deno.statSync(base).isFile) return;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : cause;
    throw new Failure(`DENORT_BIN names ${base}, which cannot be read: ${why}`, { cause });
  }
  throw new Failure(`DENORT_BIN names ${base}, which is no file`);
}

async function build(
  target: Target,
  path: string,
  { name, source, cache }: Stage,
  need: ModuleGraph,
  flags: readonly string[],
): Promise<Build> {
  const base = baseFor(target.triple);
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "compile",
      "--frozen",
      ...programFlags(target.os),
      "--exclude-unused-npm",
      ...["--target", target.triple],
      ...(target.os === "windows" ? ["--icon", join(ROOT, "assets/mirrorsync.ico")] : []),
      "--no-check",
      ...["--output", path],
      ...flags,
      "main.ts",
    ],
    cwd: source,
    env: { NO_COLOR: "1", DENO_DIR: cache, ...base !== undefined && { DENORT_BIN: base } },
    stdin: "null",
    stdout: "inherit",
    stderr: "piped",
  }).output();
  const said = new TextDecoder().decode(stderr);
  if (code !== 0 && said.includes("Setting up base binary")) {
    throw new Failure(
      `the base runtime for ${target.triple} (denort) could not be downloaded; fetch it elsewhere and name it in DENORT_BIN, then try again`,
    );
  }
  if (code !== 0) {
    throw new Failure(
      `${target.file}: ${shortly(said)}${base === undefined ? "" : ` (DENORT_BIN names ${base})`}`,
    );
  }
  const wrong = [
    ...judgeEmbedded(readListing(said), need),
    ...holdsText(path, name) ? [`it tells of the folder ${name}, in which it was made`] : [],
  ];
  if (wrong.length > 0) throw new Failure(`${path} does not hold what it should:\n  ${wrong.join("\n  ")}`);
  return {
    file: target.file,
    target: target.triple,
    version: manifest.version,
    bytes: Deno.statSync(path).size,
    embedded: readEmbeddedSize(said),
    sha256: hashFile(path),
  };
}

function readArguments(args: readonly string[]): Arguments {
  const at = args.indexOf("--dist");
  const given = at < 0 ? [] : args.slice(at, at + 2);
  if (given.length === 1) throw new Failure("--dist needs a folder");
  return {
    all: args.includes("--all"),
    dist: given[1] === undefined ? join(ROOT, "dist") : resolve(given[1]),
    check: !args.includes("--no-check"),
    flags: args.filter((arg, i) =>
      !["--all", "--no-check"].includes(arg) && (at < 0 || i < at || i > at + 1)
    ),
  };
}

/** The error and its causes on one line, without the list of files above it and the stack below. */
function shortly(said: string): string {
  const lines = said.split("\n").map((line) => line.trim().replace(/^\d+: /, ""));
  const end = lines.indexOf("Stack backtrace:");
  const at = lines.findLastIndex((line) => line.startsWith("error:"));
  const told = lines.slice(Math.max(at, 0), end < 0 ? undefined : end);
  return told.filter((line) => line !== "" && line !== "Caused by:").join("; ").replace(/^error: /, "");
}

/** The worker modules, which no import leads to. */
function workers(folder: string): string[] {
  const found: string[] = [];
  for (const entry of Deno.readDirSync(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) found.push(...workers(path));
    else if (/(?:^|_)worker\.ts$/.test(entry.name)) found.push(relative(ROOT, path));
  }
  return found;
}
