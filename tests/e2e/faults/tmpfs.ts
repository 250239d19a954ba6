/** A small file system in memory, mounted on a folder. Needs leave to mount, which as a rule only root has. */
export class Tmpfs implements AsyncDisposable {
  private constructor(readonly folder: string) {}

  /**
   * Mounts one on a folder, which is made if it is missing; only its owner may enter it.
   *
   * @throws {Error} what `mount` said, when it is not allowed.
   */
  static async mount(folder: string, sizeBytes: number): Promise<Tmpfs> {
    await Deno.mkdir(folder, { recursive: true });
    await run("mount", "-t", "tmpfs", "-o", `size=${sizeBytes},mode=700`, "tmpfs", folder);
    return new Tmpfs(folder);
  }

  /** Whether this machine lets us mount one. */
  static async isAllowed(): Promise<boolean> {
    if (Deno.build.os !== "linux") return false;
    const folder = await Deno.makeTempDir({ prefix: "mirrorsync-mount-" });
    try {
      await using _mounted = await Tmpfs.mount(folder, 65_536);
      return true;
    } catch {
      return false;
    } finally {
      await Deno.remove(folder);
    }
  }

  /** A user's own file takes all the room that is left. */
  fillUp(name: string): void {
    using file = Deno.openSync(`${this.folder}/${name}`, { create: true, append: true });
    // The last page, too, which a large write does not get.
    for (
      let piece = new Uint8Array(1 << 20);
      piece.length >= 4096;
      piece = piece.subarray(piece.length / 2)
    ) {
      try {
        for (;;) file.writeSync(piece);
      } catch (error) {
        if (
          !(error instanceof Error &&
            /ENOSPC|No space/i.test(`${error.message} ${"code" in error ? error.code : ""}`))
        ) {
          throw error;
        }
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Lazily: whoever is still in there is not held up, and not by.
    await run("umount", "--lazy", this.folder);
  }
}

async function run(program: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await new Deno.Command(program, { args, stdout: "null" }).output();
  if (code !== 0) throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr).trim()}`);
}
