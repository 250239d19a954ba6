/**
 * `deno task compile [--all] [--dist DIR] [FLAGS OF deno compile]`: the program as one executable in `dist/`, allowed no more than
 * what it does: for this machine, or with `--all` for every system of a release. Beside them `SHA256SUMS`, and `builds.json` with
 * the size of each. What is embedded is checked: all that is needed, and nothing else. The same source and base runtime give the
 * same bytes.
 *
 * `DENORT_BIN` names a base runtime to use instead of the one that Deno downloads; `{target}` in it stands for the target.
 */
import { join, relative, resolve } from "node:path";
import manifest from "../deno.json" with { type: "json" };
import { judgeEmbedded, readEmbeddedSize, readListing } from "./compile/embedded.ts";
import { type Target, TARGETS, thisMachine } from "./compile/targets.ts";
import { moduleGraph } from "./support/module_graph.ts";
import { permissionFlags } from "./support/program_flags.ts";
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

const { all, dist, flags } = readArguments(Deno.args);
const targets = all ? TARGETS : [thisMachine()];
const extra = workers(join(ROOT, "src"));
const need = await moduleGraph(["main.ts", ...extra]);

Deno.mkdirSync(dist, { recursive: true });
const builds: Build[] = [];
for (const target of targets) builds.push(await build(target));
Deno.writeTextFileSync(
  join(dist, "SHA256SUMS"),
  builds.map(({ sha256, file }) => `${sha256}  ${file}\n`).join(""),
);
Deno.writeTextFileSync(join(dist, "builds.json"), JSON.stringify(builds, null, 2) + "\n");
for (const { file, bytes, embedded, sha256 } of builds) {
  console.log(`${join(dist, file)}  ${showBytes(bytes)}, ${embedded ?? "?"} of it the program's  ${sha256}`);
}

async function build(target: Target): Promise<Build> {
  const base = Deno.env.get("DENORT_BIN")?.replaceAll("{target}", target.triple);
  const path = join(dist, target.file);
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "compile",
      "--frozen",
      ...permissionFlags(target.os),
      "--exclude-unused-npm",
      ...["--target", target.triple],
      ...(target.os === "windows" ? ["--icon", "assets/mirrorsync.ico"] : []),
      ...extra.flatMap((path) => ["--include", path]),
      ...["--output", path],
      ...flags,
      "main.ts",
    ],
    cwd: ROOT,
    env: { NO_COLOR: "1", ...base !== undefined && { DENORT_BIN: base } },
    stdin: "null",
    stdout: "inherit",
    stderr: "piped",
  }).output();
  const said = new TextDecoder().decode(stderr);
  if (code !== 0 && said.includes("Setting up base binary")) {
    fail(
      `the base runtime for ${target.triple} (denort) could not be downloaded; fetch it elsewhere and name it in DENORT_BIN, then try again`,
    );
  }
  if (code !== 0) fail(said.trim());
  const wrong = judgeEmbedded(readListing(said), need);
  if (wrong.length > 0) fail(`${path} does not hold what it should:\n  ${wrong.join("\n  ")}`);
  return {
    file: target.file,
    target: target.triple,
    version: manifest.version,
    bytes: Deno.statSync(path).size,
    embedded: readEmbeddedSize(said),
    sha256: hashFile(path),
  };
}

function readArguments(args: readonly string[]) {
  const at = args.indexOf("--dist");
  const given = at < 0 ? [] : args.slice(at, at + 2);
  if (given.length === 1) fail("--dist needs a folder");
  return {
    all: args.includes("--all"),
    dist: given[1] === undefined ? join(ROOT, "dist") : resolve(given[1]),
    flags: args.filter((arg, i) => arg !== "--all" && (at < 0 || i < at || i > at + 1)),
  };
}

function fail(message: string): never {
  console.error(`compile: ${message}`);
  Deno.exit(1);
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
