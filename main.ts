import { fileURLToPath } from "node:url";
import manifest from "./deno.json" with { type: "json" };
import { runCommandLine } from "./src/cli/command_line.ts";

if (import.meta.main) {
  // From a checkout it is Deno that is started, with what `deno task mirrorsync` gives it.
  const flags = manifest.tasks.mirrorsync.split(" ").slice(1, -1);
  const command = Deno.build.standalone
    ? [Deno.execPath()]
    : [Deno.execPath(), ...flags, fileURLToPath(import.meta.url)];
  Deno.exit(await runCommandLine(Deno.args, { version: manifest.version, command }));
}
