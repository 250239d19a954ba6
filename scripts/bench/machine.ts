import { cpus, release, type } from "node:os";

/** What a number depends on: the machine, and the versions of what was measured. `name: value` in order. */
export async function describeMachine(
  folder: string,
  program: readonly string[],
): Promise<[string, string][]> {
  const memory = Deno.systemMemoryInfo().total / 2 ** 30;
  return [
    ["when", new Date().toISOString().slice(0, 16).replace("T", " ") + " UTC"],
    [
      "machine",
      `${cpus()[0]?.model.trim() ?? "?"}, ${cpus().length} cores, ${
        memory.toFixed(0)
      } GiB, ${type()} ${release()}`,
    ],
    ["disk", await firstLine("findmnt", "-no", "FSTYPE", "-T", folder) ?? "?"],
    ["load before", Deno.loadavg().map((load) => load.toFixed(2)).join(" ")],
    ["MirrorSync", await mirrorSyncVersion(program)],
    ["Deno", Deno.version.deno],
    ["rsync", await firstLine("rsync", "--version") ?? "not installed"],
    ["Unison", await firstLine("unison", "-version") ?? "not installed"],
    ["Syncthing", await firstLine("syncthing", "--version") ?? "not installed"],
  ];
}

async function mirrorSyncVersion(program: readonly string[]): Promise<string> {
  const version = await firstLine(program[0]!, ...program.slice(1), "--version") ?? "?";
  const commit = await firstLine("git", "rev-parse", "--short", "HEAD");
  return commit === null ? version : `${version} (${commit})`;
}

/** The first line that a program prints; `null` when it is not there or fails. */
export async function firstLine(command: string, ...args: string[]): Promise<string | null> {
  try {
    const { code, stdout } = await new Deno.Command(command, { args, stdin: "null", stderr: "null" })
      .output();
    return code === 0 ? new TextDecoder().decode(stdout).split("\n")[0]!.trim().replace(/\s+/g, " ") : null;
  } catch {
    return null;
  }
}
