import { join } from "node:path";
import type { UsedPackage } from "../support/module_graph.ts";
import { ROOT } from "../support/root.ts";

const LICENSE = /^(?:licen[cs]e|copying|notice|copyright)/i;
const LINE = "\n" + "=".repeat(80) + "\n";

/**
 * The licences of MirrorSync and of everything that is compiled into it, as one text: they ask to be passed on with it.
 *
 * @throws {Error} when a package has none.
 */
export function licenseTexts(packages: readonly UsedPackage[]): string {
  const parts = packages.map(({ name, version, localPath }) => {
    const files = localPath === undefined
      ? []
      : [...Deno.readDirSync(localPath)].filter((entry) => entry.isFile && LICENSE.test(entry.name));
    if (files.length === 0) throw new Error(`no licence of ${name}@${version} is found`);
    const texts = files.map((entry) => entry.name).sort().map((file) =>
      Deno.readTextFileSync(join(localPath!, file)).replaceAll("\r\n", "\n").trim()
    );
    return `${LINE}${name} ${version}\n\n${texts.join("\n\n")}\n`;
  });
  return `MirrorSync\n\n${Deno.readTextFileSync(join(ROOT, "LICENSE")).trim()}\n${LINE}` +
    `Deno ${Deno.version.deno}, the runtime inside every executable\n\n` +
    "MIT License, Copyright the Deno authors. Its own parts (V8, SQLite and others) and their licences:\n" +
    "https://github.com/denoland/deno\n" + parts.join("");
}
