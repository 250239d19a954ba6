import { join } from "node:path";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import { quotePath, tooOpen } from "./private_file.ts";

/** The content of a file, or `null` when it is not there. A secret one that others can read is refused before it is used. */
export async function readOptional(path: string, secret: boolean): Promise<string | null> {
  try {
    using file = await Deno.open(path, { read: true });
    if (secret) checkPrivate(path, await file.stat()); // of the open file, so that nobody can swap it after the look
    return await new Response(file.readable).text();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    if (error instanceof MirrorError) throw error;
    throw new MirrorError(
      "bad_certificate",
      `${path} cannot be read (${messageOf(error)}): make it a file that this user may read`,
      { cause: error },
    );
  }
}

function checkPrivate(path: string, info: Deno.FileInfo): void {
  const mode = tooOpen(info);
  if (mode === null) return;
  throw new MirrorError(
    "bad_certificate",
    `other users of this computer can open the private key ${path} (its mode is ${mode}): run  chmod 600 ${
      quotePath(path)
    }  and, if others may have read it, make a new one with \`mirrorsync init\` in a new home`,
  );
}

/**
 * Makes a file that is whole and durable from the moment it has its name, and readable by its owner alone from the moment it
 * exists. Never replaces one.
 */
export async function writeNewFile(folder: string, name: string, text: string): Promise<void> {
  const path = join(folder, name);
  const temporary = join(folder, `${name}.${crypto.randomUUID()}.tmp`);
  try {
    {
      using file = await Deno.open(temporary, { write: true, createNew: true, mode: 0o600 });
      let rest = new TextEncoder().encode(text);
      while (rest.length > 0) rest = rest.subarray(await file.write(rest));
      await file.sync();
    }
    await renameToNew(temporary, path);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    throw new MirrorError(
      "home_in_use",
      `another process is making an identity in ${folder} at this moment: run the command again`,
      { cause: error },
    );
  } finally {
    await Deno.remove(temporary).catch(() => {}); // it has been renamed, or it is worth nothing
  }
}

/** How the name of a file ends that is about to be put in the place of another. */
const REPLACEMENT = ".new";

/** Removes what {@linkcode replaceFile} has left in a crash: keys lie nowhere but in their place. */
export async function sweepReplacements(folder: string): Promise<void> {
  for await (const { name } of Deno.readDir(folder)) {
    if (name.includes(".pem.") && name.includes(REPLACEMENT)) await Deno.remove(join(folder, name));
  }
}

/** Puts a file, readable by its owner alone, in the place of one that is there: at any time one of the two is there, whole. */
export async function replaceFile(folder: string, name: string, text: string): Promise<void> {
  const temporary = `${name}.${crypto.randomUUID()}${REPLACEMENT}`;
  await writeNewFile(folder, temporary, text);
  await Deno.rename(join(folder, temporary), join(folder, name));
  await flushFolder(folder);
}

/** Gives a file its name unless that is taken: `rename` would replace, `link` fails. */
async function renameToNew(from: string, to: string): Promise<void> {
  try {
    await Deno.link(from, to);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) throw error;
    // This file system has no links (FAT, some network ones). What remains is a look first, with a race of microseconds.
    const taken = await Deno.lstat(to).then(() => true, () => false);
    if (taken) throw new Deno.errors.AlreadyExists(to);
    await Deno.rename(from, to);
  }
}

export async function flushFolder(folder: string): Promise<void> {
  if (Deno.build.os === "windows") return; // has no such call; NTFS journals names by itself
  using handle = await Deno.open(folder, { read: true });
  await handle.sync();
}
