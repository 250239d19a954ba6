import manifest from "../../deno.json" with { type: "json" };

/**
 * What `deno task mirrorsync` runs with, as flags: the permissions that it asks for, and how far V8 lets its heap grow between
 * collections. Whatever runs or compiles the program does the same.
 */
export const PROGRAM_FLAGS: readonly string[] = manifest.tasks.mirrorsync.split(" ").filter((word) =>
  word.startsWith("--")
);

/** Where the programs lie that MirrorSync starts, on each system: they are allowed by their full paths, not by what PATH says. */
const FOLDERS_OF_PROGRAMS: Readonly<Record<"windows" | "darwin" | "linux", RegExp>> = {
  windows: /^[A-Z]:/,
  darwin: /^\/bin\/launchctl$|^\/usr\/bin\/osascript$/,
  linux: /^\/usr\/bin\/(?!osascript$)/,
};

/** {@linkcode PROGRAM_FLAGS}, with those programs only that `os` has. */
export function programFlags(os: "windows" | "darwin" | "linux"): string[] {
  return PROGRAM_FLAGS.map((flag) => {
    const programs = /^--allow-run=(.*)$/.exec(flag)?.[1]?.split(",");
    if (programs === undefined) return flag;
    return `--allow-run=${programs.filter((path) => FOLDERS_OF_PROGRAMS[os].test(path)).join(",")}`;
  });
}
