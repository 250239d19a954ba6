import { dirname, join } from "node:path";
import { copyTree, readTree } from "../support/tree.ts";
import { arrivalOfTree } from "./arrival_of_tree.ts";
import { runCommand } from "./run_command.ts";
import type { Scenario } from "./scenario.ts";

const PACKAGE = "typescript";
/** One release and the next, with the days on which they came out. */
const OLD = { version: "5.8.2", date: new Date("2025-02-28T12:00:00Z") };
const NEW = { version: "5.8.3", date: new Date("2025-04-05T12:00:00Z") };

/** A real release, whose files are replaced in place by those of the next one. Both are fetched and unpacked below `parent`. */
export async function makeReleaseScenario(parent: string): Promise<Scenario> {
  const [older, newer] = [await unpackRelease(parent, OLD), await unpackRelease(parent, NEW)];
  return {
    title: `${PACKAGE} ${OLD.version} to ${NEW.version}`,
    first: (set) => copyDated(older, join(set, PACKAGE), OLD.date),
    next: async ({ set, copy, aside }, index) => {
      const prepared = join(aside, `release ${index}`);
      await copyDated(newer, prepared, NEW.date);
      const files = filesOf(prepared);
      const target = join(set, PACKAGE);
      const gone = filesOf(target).filter((path) => !files.includes(path));
      for (const path of files) Deno.mkdirSync(dirname(join(target, path)), { recursive: true });
      return {
        what: "the next release",
        make: () => {
          for (const path of files) Deno.renameSync(join(prepared, path), join(target, path));
          for (const path of gone) Deno.removeSync(join(target, path));
        },
        arrived: arrivalOfTree(prepared, join(copy, PACKAGE), gone.map((path) => join(copy, PACKAGE, path))),
      };
    },
  };
}

async function unpackRelease(parent: string, { version }: { readonly version: string }): Promise<string> {
  const folder = join(parent, `release-${version}`);
  Deno.mkdirSync(folder);
  await runCommand("npm", [
    "pack",
    "--silent",
    "--ignore-scripts",
    "--prefer-offline",
    `${PACKAGE}@${version}`,
  ], { cwd: folder });
  await runCommand("tar", ["-xzf", join(folder, `${PACKAGE}-${version}.tgz`), "-C", folder]);
  return join(folder, "package");
}

/**
 * Copies a release and gives each file the release's date. In the package all files have one and the same date of 1985, by which rsync
 * could not see that a file of the same size is another one.
 */
async function copyDated(from: string, to: string, date: Date): Promise<void> {
  await copyTree(from, to);
  for (const path of filesOf(to)) Deno.utimeSync(join(to, path), date, date);
}

function filesOf(folder: string): string[] {
  return [...readTree(folder)].filter(([, { kind }]) => kind === "file").map(([path]) => path);
}
