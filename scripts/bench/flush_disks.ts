/** Writes out what the system still holds back, so that one measurement does not pay for the one before. */
export async function flushDisks(): Promise<void> {
  if (Deno.build.os === "windows") return;
  await new Deno.Command("sync", { stdin: "null" }).output();
}
