/** `deno task check`: formatting, lint, types and import directions. Runs all of them, and fails if one does. */
import { ROOT } from "./support/root.ts";

const steps: [name: string, args: string[]][] = [
  ["fmt", ["fmt", "--check"]],
  ["lint", ["lint"]],
  ["types", ["check", "--quiet", "--frozen", "."]],
  ["imports", [
    "run",
    "--no-prompt",
    "--allow-read",
    "--allow-write",
    "--allow-run",
    "scripts/check_imports.ts",
  ]],
];

const failed: string[] = [];
for (const [name, args] of steps) {
  const { code } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).spawn().status;
  if (code !== 0) failed.push(name);
}
console.log(failed.length === 0 ? "check: all good" : `check: failed in ${failed.join(", ")}`);
Deno.exit(failed.length === 0 ? 0 : 1);
