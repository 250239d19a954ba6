/**
 * Runs a program to its end.
 *
 * @throws {Error} with what it wrote to stderr, when it fails.
 */
export async function runCommand(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Record<string, string> } = {},
): Promise<void> {
  const { code, stderr } = await new Deno.Command(program, {
    args: [...args],
    ...options,
    stdin: "null",
    stdout: "null",
  }).output();
  if (code !== 0) {
    const said = new TextDecoder().decode(stderr).trim().split("\n").slice(-5).join("\n");
    throw new Error(`${program} exited with ${code}: ${said}`);
  }
}
