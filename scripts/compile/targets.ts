/** A system that the program is compiled for. */
export interface Target {
  /** As `deno compile --target` takes it. */
  readonly triple: string;
  readonly os: "windows" | "darwin" | "linux";
  /** The executable's name among those of all systems. */
  readonly file: string;
}

/** The systems that a release is for. */
export const TARGETS: readonly Target[] = [
  { triple: "x86_64-pc-windows-msvc", os: "windows", file: "mirrorsync-windows-x64.exe" },
  { triple: "x86_64-apple-darwin", os: "darwin", file: "mirrorsync-macos-x64" },
  { triple: "aarch64-apple-darwin", os: "darwin", file: "mirrorsync-macos-arm64" },
  { triple: "x86_64-unknown-linux-gnu", os: "linux", file: "mirrorsync-linux-x64" },
  { triple: "aarch64-unknown-linux-gnu", os: "linux", file: "mirrorsync-linux-arm64" },
];

/**
 * The target that is this machine.
 *
 * @throws {Error} when the program is not compiled for it.
 */
export function thisMachine(): Target {
  const found = TARGETS.find(({ triple }) => triple === Deno.build.target);
  if (found === undefined) {
    const known = TARGETS.map(({ triple }) => triple).join(", ");
    throw new Error(`there is no build for ${Deno.build.target}; the systems are ${known}`);
  }
  return { ...found, file: found.os === "windows" ? "mirrorsync.exe" : "mirrorsync" };
}
