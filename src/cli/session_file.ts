import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import { tooOpen } from "../identity/private_file.ts";
import type { Home } from "./home.ts";
import { quoteForShell } from "./text.ts";

/** A secret has 43 characters and a newline. */
const MAX_BYTES = 256;

/**
 * The secret of the session of whoever is logged in; `null` when nobody is.
 *
 * @throws {MirrorError} `unsafe_permissions` when others can read it, `failed` when it cannot be read.
 */
export async function readSession(home: Home): Promise<string | null> {
  try {
    using file = await Deno.open(home.sessionPath, { read: true });
    const mode = tooOpen(await file.stat());
    if (mode !== null) {
      throw new MirrorError(
        "unsafe_permissions",
        `other users of this computer can read ${home.sessionPath} (its mode is ${mode}): run  chmod 600 ${
          quoteForShell(home.sessionPath)
        }  and, if others may have read it,  ${home.command("logout")}`,
      );
    }
    const bytes = new Uint8Array(MAX_BYTES);
    const count = await file.read(bytes) ?? 0;
    return new TextDecoder().decode(bytes.subarray(0, count)).trim() || null;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return null;
    if (cause instanceof MirrorError) throw cause;
    throw failed(home, "read", cause);
  }
}

/** Keeps the secret of a new session, readable for the home's owner alone from the moment it exists. */
export async function writeSession(home: Home, secret: string): Promise<void> {
  const temporary = `${home.sessionPath}.${crypto.randomUUID()}.tmp`;
  try {
    await Deno.writeTextFile(temporary, `${secret}\n`, { createNew: true, mode: 0o600 });
    await Deno.rename(temporary, home.sessionPath);
  } catch (cause) {
    await Deno.remove(temporary).catch(() => {}); // it was never made, or it is worth nothing
    throw failed(home, "written", cause);
  }
}

/** Forgets the secret, if there is one. */
export async function removeSession(home: Home): Promise<void> {
  try {
    await Deno.remove(home.sessionPath);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw failed(home, "removed", cause);
  }
}

function failed(home: Home, what: string, cause: unknown): MirrorError {
  return new MirrorError("failed", `${home.sessionPath} cannot be ${what}: ${messageOf(cause)}`, { cause });
}
