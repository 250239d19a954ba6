import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Address } from "../domain/ports.ts";
import type { Identity } from "../identity/identity.ts";
import { formatAddress } from "../link/address.ts";
import { configTemplate, loadConfig } from "./config.ts";
import { exists, type Home } from "./home.ts";
import { isPeerName } from "../domain/peer_name.ts";

/** The things that make a home. */
export type Part = "identity" | "config" | "database";

/** What {@linkcode initialise} found and made. */
export interface Initialised {
  readonly identity: Identity;
  readonly made: readonly Part[];
  /** What was asked for and not done, because the home has it otherwise already. */
  readonly kept: readonly string[];
}

/**
 * Makes what a home lacks: folder, identity, config, database. What is there is never changed.
 *
 * @param wanted `name` for a new identity (the computer's name without it), `listen` for a new config.
 * @throws {MirrorError} when something cannot be made, or is there and cannot be used.
 */
export async function initialise(
  home: Home,
  wanted: { readonly name: string | null; readonly listen: Address | null },
): Promise<Initialised> {
  // Reading certificates takes a third of a short command's time: only those that need it load it.
  const { ensureIdentity } = await import("../identity/identity.ts");
  const made: Part[] = [];
  const kept: string[] = [];
  await home.make();
  const hadIdentity = await home.isInitialised();
  const identity = await ensureIdentity(home.directory, wanted.name ?? computerName());
  if (!hadIdentity) made.push("identity");
  else if (wanted.name !== null && wanted.name !== identity.name) {
    kept.push(
      `the identity is named ${identity.name} and stays so; to be shown as another name, set name in ${home.configPath}`,
    );
  }
  const listen = wanted.listen === null ? null : formatAddress(wanted.listen);
  if (await writeNew(home.configPath, configTemplate({ listen }))) made.push("config");
  else if (listen !== null) {
    const there = (await loadConfig(home.configPath)).listen;
    if (there === null || formatAddress(there) !== listen) {
      kept.push(`${home.configPath} was there and was left as it is: set listen in it yourself`);
    }
  }
  const hadDatabase = await exists(home.databasePath);
  home.openStore()[Symbol.dispose]();
  if (!hadDatabase) made.push("database");
  return { identity, made, kept };
}

/** This computer's name as far as it can name a peer. */
function computerName(): string {
  const name = Deno.hostname().split(".")[0]!.slice(0, 64);
  return isPeerName(name) ? name : "peer";
}

/** Writes a file that is not there yet; `false` when it is. */
async function writeNew(path: string, content: string): Promise<boolean> {
  try {
    await Deno.writeTextFile(path, content, { createNew: true, mode: 0o600 });
    return true;
  } catch (cause) {
    if (cause instanceof Deno.errors.AlreadyExists) return false;
    throw new MirrorError("failed", `${path} cannot be written: ${messageOf(cause)}`, { cause });
  }
}
