/** `deno task compile [FLAGS OF deno compile]`: one executable in `dist/`, allowed no more than what the program does. */
import { join, relative } from "node:path";
import { PERMISSION_FLAGS } from "./support/program_flags.ts";
import { ROOT } from "./support/root.ts";

const output = join("dist", Deno.build.os === "windows" ? "mirrorsync.exe" : "mirrorsync");
const { code, stderr } = await new Deno.Command(Deno.execPath(), {
  args: [
    "compile",
    "--frozen",
    // Files anywhere the user says, its peers, its settings and the machine's name. Never programs, never native code.
    ...PERMISSION_FLAGS,
    "--exclude-unused-npm",
    ...workers(join(ROOT, "src")).flatMap((path) => ["--include", path]),
    ...["--output", output],
    ...Deno.args,
    "main.ts",
  ],
  cwd: ROOT,
  stdout: "inherit",
  stderr: "piped",
}).output();

const said = new TextDecoder().decode(stderr);
if (code !== 0 && said.includes("Setting up base binary")) {
  console.error(
    "compile: the base runtime (denort) could not be downloaded; fetch it elsewhere and name it in DENORT_BIN, then try again",
  );
} else {
  await Deno.stderr.write(stderr);
}
Deno.exit(code);

/** The worker modules, which no import leads to. */
function workers(folder: string): string[] {
  const found: string[] = [];
  for (const entry of Deno.readDirSync(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) found.push(...workers(path));
    else if (/(?:^|_)worker\.ts$/.test(entry.name)) found.push(relative(ROOT, path));
  }
  return found;
}
