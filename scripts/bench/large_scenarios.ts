import { join } from "node:path";
import { arrivalOfTree } from "./arrival_of_tree.ts";
import { writeEditedCopy, writeRandomFile, writeRandomFiles, writeRandomTree } from "./large_content.ts";
import { runCommand } from "./run_command.ts";
import type { Scenario } from "./scenario.ts";

const MIB = 1 << 20;
const LARGE = "large.bin";
const RENAMED_FILES = 64;
/** So much further on each edit is made than the one before. */
const EDIT_SHIFT = 3 * MIB / 2;

/** A small edit in a large file, saved as editors save: written beside and renamed over it. */
export function editScenario(mebibytes: number): Scenario {
  return {
    title: `${showMebibytes(mebibytes)}, a byte inserted and 4 KiB overwritten`,
    first: (set) => writeRandomFile(join(set, LARGE), mebibytes * MIB),
    next: ({ set, copy, aside }, index) => {
      const prepared = join(aside, `edited ${index}`);
      Deno.mkdirSync(prepared);
      writeEditedCopy(join(set, LARGE), join(prepared, LARGE), index * EDIT_SHIFT % (mebibytes * MIB / 4));
      return {
        what: `edit ${index + 1}`,
        make: () => Deno.renameSync(join(prepared, LARGE), join(set, LARGE)),
        arrived: arrivalOfTree(prepared, copy),
      };
    },
  };
}

/** A folder of large files that gets another name. */
export function renameScenario(mebibytes: number): Scenario {
  const name = (index: number) => `folder ${index}`;
  return {
    title: `a folder of ${showMebibytes(mebibytes)} renamed`,
    first: (set) => writeRandomFiles(join(set, name(0)), RENAMED_FILES, mebibytes * MIB / RENAMED_FILES),
    next: ({ set, copy }, index) => {
      const from = join(set, name(index));
      return {
        what: `rename ${index + 1}`,
        make: () => Deno.renameSync(from, join(set, name(index + 1))),
        arrived: arrivalOfTree(from, join(copy, name(index + 1)), [join(copy, name(index))]),
      };
    },
  };
}

/** A large file and then a copy of it beside. */
export function copyScenario(mebibytes: number): Scenario {
  return {
    title: `a copy of a file of ${showMebibytes(mebibytes)} beside it`,
    first: (set) => writeRandomFile(join(set, LARGE), mebibytes * MIB),
    next: ({ set, copy, aside }, index) => {
      const prepared = join(aside, `copied ${index}`);
      const name = `copy ${index}.bin`;
      Deno.mkdirSync(prepared);
      Deno.copyFileSync(join(set, LARGE), join(prepared, name));
      return {
        what: `copy ${index + 1}`,
        make: () => Deno.renameSync(join(prepared, name), join(set, name)),
        arrived: arrivalOfTree(prepared, copy),
      };
    },
  };
}

/** A tar, and then the tree that it holds, unpacked beside it. */
export function unpackScenario(mebibytes: number): Scenario {
  const tar = "tree.tar";
  return {
    title: `a tar of ${showMebibytes(mebibytes)} unpacked beside it`,
    first: async (set, { aside }) => {
      writeRandomTree(join(aside, "tree"), mebibytes * MIB);
      await runCommand("tar", ["-cf", join(set, tar), "-C", aside, "tree"]);
      Deno.removeSync(join(aside, "tree"), { recursive: true });
    },
    next: async ({ set, copy, aside }, index) => {
      const prepared = join(aside, `unpacked ${index}`);
      Deno.mkdirSync(prepared);
      await runCommand("tar", ["-xf", join(set, tar), "-C", prepared]);
      return {
        what: `unpacking ${index + 1}`,
        make: () => Deno.renameSync(join(prepared, "tree"), join(set, `tree ${index}`)),
        arrived: arrivalOfTree(join(prepared, "tree"), join(copy, `tree ${index}`)),
      };
    },
  };
}

/** `1 GiB`, `64 MiB`. */
export function showMebibytes(mebibytes: number): string {
  return mebibytes % 1024 === 0 ? `${mebibytes / 1024} GiB` : `${mebibytes} MiB`;
}
