import { existsSync } from "node:fs";
import { ROOT } from "./root.ts";

/** An npm package as it lies unpacked in Deno's cache. */
export interface UnpackedPackage {
  /** `name@version`. */
  readonly name: string;
  readonly folder: string;
}

interface ModuleInfo {
  readonly npmPackages?: Readonly<
    Record<string, { readonly name: string; readonly version: string; readonly localPath?: string }>
  >;
}

/** The npm packages that a module of this project needs, itself or through others, fetched if they are not there yet. */
export async function projectPackages(module: string): Promise<UnpackedPackage[]> {
  await deno("cache", "--quiet", module);
  const { npmPackages } = JSON.parse(await deno("info", "--json", module)) as ModuleInfo;
  const found: UnpackedPackage[] = [];
  for (const { name, version, localPath } of Object.values(npmPackages ?? {})) {
    if (localPath !== undefined && existsSync(localPath)) {
      found.push({ name: `${name}@${version}`, folder: localPath });
    }
  }
  return found.sort((a, b) => a.name < b.name ? -1 : 1);
}

async function deno(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT, stdin: "null" })
    .output();
  const decoder = new TextDecoder();
  if (code !== 0) throw new Error(`deno ${args.join(" ")}: ${decoder.decode(stderr).trim()}`);
  return decoder.decode(stdout);
}
