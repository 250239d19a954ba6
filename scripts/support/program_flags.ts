import manifest from "../../deno.json" with { type: "json" };

/** The permissions that `deno task mirrorsync` asks for, as flags: whatever runs or compiles the program asks for the same. */
export const PERMISSION_FLAGS: readonly string[] = manifest.tasks.mirrorsync.split(" ").filter((word) =>
  word.startsWith("--")
);
