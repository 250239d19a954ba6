import { fileURLToPath } from "node:url";
import { relative } from "node:path";
import { ROOT } from "./root.ts";

/** An npm package that the program uses when it runs. */
export interface UsedPackage {
  readonly name: string;
  readonly version: string;
  /** Where it lies unpacked; absent when it was never fetched. */
  readonly localPath?: string;
}

/** What is loaded when the program runs, by what Deno itself finds. */
export interface ModuleGraph {
  /** The project's own modules, relative to its root, `/`-separated, in order. */
  readonly modules: readonly string[];
  /** In the order of their names. */
  readonly packages: readonly UsedPackage[];
  /** Where all packages of the lock file lie that were fetched, used or not: Deno wants to see them before it runs anything. */
  readonly fetched: readonly string[];
}

interface Info {
  readonly roots: readonly string[];
  readonly redirects: Readonly<Record<string, string>>;
  readonly modules: readonly {
    readonly specifier: string;
    readonly npmPackage?: string;
    readonly dependencies?: readonly {
      /** Absent where types alone are imported, which nobody needs to run. */
      readonly code?: { readonly specifier?: string };
    }[];
  }[];
  /** All of the lock file's, used or not. */
  readonly npmPackages?: Readonly<
    Record<string, UsedPackage & { readonly dependencies: readonly string[] }>
  >;
}

/** What the modules `entries`, relative to the root, lead to. */
export async function moduleGraph(entries: readonly string[]): Promise<ModuleGraph> {
  const modules = new Set<string>();
  const packages = new Map<string, UsedPackage>();
  const fetched = new Set<string>();
  for (const entry of entries) {
    const info = await denoInfo(entry);
    collect(info, modules, packages);
    for (const { localPath } of Object.values(info.npmPackages ?? {})) {
      if (localPath !== undefined) fetched.add(localPath);
    }
  }
  return {
    modules: [...modules].sort(),
    packages: [...packages].sort(([a], [b]) => a < b ? -1 : 1).map(([, found]) => found),
    fetched: [...fetched].sort(),
  };
}

function collect(info: Info, modules: Set<string>, packages: Map<string, UsedPackage>): void {
  const bySpecifier = new Map(info.modules.map((module) => [module.specifier, module]));
  const all = info.npmPackages ?? {};
  const addPackage = (id: string) => {
    const found = all[id];
    if (found === undefined || packages.has(id)) return;
    packages.set(id, found);
    found.dependencies.forEach(addPackage);
  };
  const seen = new Set<string>();
  const visit = (specifier: string) => {
    const resolved = info.redirects[specifier] ?? specifier;
    const module = bySpecifier.get(resolved);
    if (module === undefined || seen.has(resolved)) return;
    seen.add(resolved);
    if (resolved.startsWith("file:")) {
      modules.add(relative(ROOT, fileURLToPath(resolved)).replaceAll("\\", "/"));
    }
    if (module.npmPackage !== undefined) addPackage(module.npmPackage);
    for (const { code } of module.dependencies ?? []) {
      if (code?.specifier !== undefined) visit(code.specifier);
    }
  };
  info.roots.forEach(visit);
}

async function denoInfo(entry: string): Promise<Info> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", entry],
    cwd: ROOT,
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  if (code !== 0) throw new Error(`deno info ${entry}: ${text.decode(stderr).trim()}`);
  return JSON.parse(text.decode(stdout));
}
