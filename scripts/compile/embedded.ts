import { Buffer } from "node:buffer";
import type { ModuleGraph } from "../support/module_graph.ts";

/** A path that `deno compile` lists as embedded; one that ends in `/*` stands for all below it. */
export type Listed = string;

const PACKAGES = ".deno_compile_node_modules/";
/** `deno.json` is embedded because `main.ts` reads the version in it. */
const OWN = /^(?:main\.ts|deno\.json|src\/.*)$/;

/**
 * Reads the tree of embedded files that `deno compile` prints.
 *
 * @throws {Error} when there is none.
 */
export function readListing(output: string): Listed[] {
  const lines = output.split("\n");
  const start = lines.indexOf("Embedded Files");
  const end = lines.findIndex((line, i) => i > start && line.startsWith("Files:"));
  if (start < 0 || end < 0) throw new Error("deno compile printed no list of the embedded files");
  const found: Listed[] = [];
  const above: string[] = [];
  for (const line of lines.slice(start + 1, end)) {
    const match = /^((?:[│ ] )*)[├└]─[─┬] (\S.*?)(?: \([^()]*\))?$/.exec(line);
    if (match === null) continue; // the name of the executable, and empty lines
    const depth = match[1]!.length / 2;
    above.length = depth;
    const path = [...above, match[2]!].join("/");
    above.push(match[2]!);
    found.push(path);
  }
  // A folder whose content is listed by itself says nothing of its own.
  return found.filter((path) => !found.some((other) => other.startsWith(path + "/")));
}

/** The bytes of all embedded files, as `deno compile` prints them: `7.07MB`. */
export function readEmbeddedSize(output: string): string | null {
  return /^Files: (\S+)$/m.exec(output)?.[1] ?? null;
}

/** Everything that is wrong with what is embedded, a line each: what is missing of what is needed, and what should not be there. */
export function judgeEmbedded(listed: readonly Listed[], { modules, packages: used }: ModuleGraph): string[] {
  const packages = used.map(({ name, version }) => `${name}/${version}`);
  const covers = (entry: Listed, path: string) =>
    entry === path || (entry.endsWith("/*") && path.startsWith(entry.slice(0, -1)));
  const inPackages = listed.filter((path) => path.startsWith(PACKAGES)).map((path) =>
    path.slice(path.indexOf("/", PACKAGES.length) + 1) // what follows is the registry's host
  );
  const wrong: string[] = [];
  for (const module of modules) {
    if (!listed.some((entry) => covers(entry, module))) wrong.push(`${module} is not embedded`);
  }
  for (const name of packages) {
    // A package's folder may be listed with all its versions in one.
    if (!inPackages.some((entry) => entry.startsWith(name + "/") || covers(entry, name + "/"))) {
      wrong.push(`the package ${name} is not embedded`);
    }
  }
  for (const entry of listed) {
    if (!entry.startsWith(PACKAGES) && !OWN.test(entry)) wrong.push(`${entry} is embedded and not needed`);
  }
  for (const entry of inPackages) {
    const prefix = entry.replace(/\*$/, "");
    if (!packages.some((name) => prefix.startsWith(name + "/") || `${name}/`.startsWith(prefix))) {
      wrong.push(`the package ${entry} is embedded and not needed`);
    }
  }
  return wrong;
}

/** Whether a file has a text in it, as UTF-8. */
export function holdsText(path: string, text: string): boolean {
  return Buffer.from(Deno.readFileSync(path).buffer).includes(text);
}
