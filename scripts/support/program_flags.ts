import manifest from "../../deno.json" with { type: "json" };

/**
 * What `deno task mirrorsync` runs with, as flags: the permissions that it asks for, and how V8 keeps its heap small (collecting it
 * more often, a little at a time). Whatever runs or compiles the program does the same.
 */
export const PERMISSION_FLAGS: readonly string[] = manifest.tasks.mirrorsync.split(" ").filter((word) =>
  word.startsWith("--")
);

/** Where the programs lie that MirrorSync starts, on each system: they are allowed by their full paths, not by what PATH says. */
const FOLDERS_OF_PROGRAMS: Readonly<Record<"windows" | "darwin" | "linux", RegExp>> = {
  windows: /^[A-Z]:/,
  darwin: /^\/bin\/launchctl$|^\/usr\/bin\/osascript$/,
  linux: /^\/usr\/bin\/(?!osascript$)/,
};

/** {@linkcode PERMISSION_FLAGS}, with those programs only that `os` has. */
export function permissionFlags(os: "windows" | "darwin" | "linux"): string[] {
  return PERMISSION_FLAGS.map((flag) => {
    const programs = /^--allow-run=(.*)$/.exec(flag)?.[1]?.split(",");
    if (programs === undefined) return flag;
    return `--allow-run=${programs.filter((path) => FOLDERS_OF_PROGRAMS[os].test(path)).join(",")}`;
  });
}
