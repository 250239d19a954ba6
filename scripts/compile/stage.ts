import { basename, dirname, join, relative } from "node:path";
import type { ModuleGraph } from "../support/module_graph.ts";
import { ROOT } from "../support/root.ts";

/** Every staged file's time: `deno compile` embeds it. */
const FIXED_TIME = new Date("2026-01-01T00:00:00Z");
/**
 * What a package's code is made of. `deno compile` takes everything else in a package (licences, web pages) for code too, fails to
 * read it, and embeds the error with the file's full path: the name of whoever builds.
 */
const CODE = /\.(?:[cm]?[jt]s|json)$/;

/** A copy of what is compiled, which is the same on every machine. */
export interface Stage extends Disposable {
  /** Of the folder that all of it is in; nobody else's. */
  readonly name: string;
  /** Holds `main.ts` and what it leads to. */
  readonly source: string;
  /** For `DENO_DIR`. */
  readonly cache: string;
}

/**
 * Copies the modules and the packages' code to a temporary folder, with fixed times: neither where they came from nor when they
 * were fetched then shows in what is compiled.
 *
 * @throws {Error} when a package was not fetched.
 */
export async function stage({ modules, packages, fetched }: ModuleGraph): Promise<Stage> {
  const folder = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "mirrorsync-compile-" }));
  const [source, cache] = [join(folder, "source"), join(folder, "cache")];
  try {
    for (const path of [...modules, "deno.json", "deno.lock"]) copyFile(join(ROOT, path), join(source, path));
    const denoDir = await findDenoDir();
    const missing = packages.find(({ localPath }) => localPath === undefined);
    if (missing !== undefined) {
      throw new Error(`${missing.name}@${missing.version} is not here: run  deno install  first`);
    }
    for (const path of fetched) copyCode(path, join(cache, relative(denoDir, path)));
    // Base runtimes that were downloaded are used again, and stay.
    const bases = join(denoDir, "dl");
    Deno.mkdirSync(bases, { recursive: true });
    Deno.symlinkSync(bases, join(cache, "dl"), { type: "junction" });
  } catch (error) {
    Deno.removeSync(folder, { recursive: true });
    throw error;
  }
  return {
    name: basename(folder),
    source,
    cache,
    [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }),
  };
}

function copyCode(from: string, to: string): void {
  for (const entry of Deno.readDirSync(from)) {
    const path = join(from, entry.name);
    if (entry.isDirectory) copyCode(path, join(to, entry.name));
    else if (CODE.test(basename(path))) copyFile(path, join(to, entry.name));
  }
}

function copyFile(from: string, to: string): void {
  Deno.mkdirSync(dirname(to), { recursive: true });
  Deno.writeFileSync(to, Deno.readFileSync(from));
  Deno.utimeSync(to, FIXED_TIME, FIXED_TIME);
}

async function findDenoDir(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"], cwd: ROOT })
    .output();
  const { denoDir }: { denoDir: string } = JSON.parse(new TextDecoder().decode(stdout));
  return denoDir;
}
