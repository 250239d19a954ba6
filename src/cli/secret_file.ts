import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import { tooOpen } from "../identity/private_file.ts";
import { quoteForShell } from "./text.ts";

/** Secrets have less than 60 characters and a newline. */
const MAX_BYTES = 256;

/**
 * The secret in a file; `null` when the file is not there, or empty.
 *
 * @param afterwards What ends the secret, for when others may have read it.
 * @throws {MirrorError} `unsafe_permissions` when others can read it, `failed` when it cannot be read.
 */
export async function readSecret(path: string, afterwards: string): Promise<string | null> {
  try {
    using file = await Deno.open(path, { read: true });
    const mode = tooOpen(await file.stat());
    if (mode !== null) {
      throw new MirrorError(
        "unsafe_permissions",
        `other users of this computer can read ${path} (its mode is ${mode}): run  chmod 600 ${
          quoteForShell(path)
        }  and, if others may have read it,  ${afterwards}`,
      );
    }
    const bytes = new Uint8Array(MAX_BYTES);
    const count = await file.read(bytes) ?? 0;
    return new TextDecoder().decode(bytes.subarray(0, count)).trim() || null;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return null;
    if (cause instanceof MirrorError) throw cause;
    throw failed(path, "read", cause);
  }
}

/** Keeps a secret, readable for its owner alone from the moment it exists; what was there is replaced. */
export async function writeSecret(path: string, secret: string): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    await Deno.writeTextFile(temporary, `${secret}\n`, { createNew: true, mode: 0o600 });
    await Deno.rename(temporary, path);
  } catch (cause) {
    await Deno.remove(temporary).catch(() => {}); // it was never made, or it is worth nothing
    throw failed(path, "written", cause);
  }
}

/** Forgets a secret, if there is one. */
export async function removeSecret(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw failed(path, "removed", cause);
  }
}

function failed(path: string, what: string, cause: unknown): MirrorError {
  return new MirrorError("failed", `${path} cannot be ${what}: ${messageOf(cause)}`, { cause });
}
