import { type Command, InvalidArgumentError } from "commander";
import type { Address } from "../domain/ports.ts";
import { type Action, addressFlag, type Context } from "./context.ts";
import { EXIT, helpEnd } from "./exit_status.ts";
import { initialise, type Part } from "./initialise.ts";
import { isPeerName, PEER_NAME_RULE } from "../domain/peer_name.ts";
import { pairingSteps, showFingerprint } from "./pairing.ts";
import { table } from "./text.ts";

interface Flags {
  readonly name?: string;
  readonly listen?: Address;
}

/** Adds `mirrorsync init`. */
export function addInit(program: Command, action: Action): void {
  program.command("init")
    .summary("make this computer's identity, config and database")
    .description(
      "Makes what a peer needs in its home: a key pair with a self-signed certificate, a commented config file and a " +
        "database. Says what it made and where. Safe to run again: what is there is never changed.",
    )
    .option("--name <name>", "this peer's name in its certificate (default: this computer's name)", nameFlag)
    .option(
      "--listen <host:port>",
      "where to listen, for the config (default: port 22600 on every address)",
      addressFlag,
    )
    .addHelpText(
      "after",
      helpEnd("mirrorsync init --name laptop", [EXIT.done, EXIT.failed, EXIT.wrongUsage]),
    )
    .action(action("admin", init));
}

/** Reads the value of a flag that names a peer. */
export function nameFlag(text: string): string {
  if (!isPeerName(text)) throw new InvalidArgumentError(`Use ${PEER_NAME_RULE}.`);
  return text;
}

async function init({ home, output }: Context, flags: Flags): Promise<number> {
  const { identity, made, kept } = await initialise(home, {
    name: flags.name ?? null,
    listen: flags.listen ?? null,
  });
  for (const message of kept) output.warn(message);
  const state = (part: Part) => made.includes(part) ? "made" : "was there";
  const fingerprint = await showFingerprint(identity.fingerprint);
  output.done({
    home: home.directory,
    name: identity.name,
    fingerprint: identity.fingerprint,
    certificatePath: home.certificatePath,
    keyPath: home.keyPath,
    configPath: home.configPath,
    databasePath: home.databasePath,
    made,
  }, () =>
    table([
      ["home", home.directory],
      ["name", identity.name],
      ["fingerprint", fingerprint],
      ["certificate", `${home.certificatePath} (${state("identity")}; to be given to the other peer)`],
      ["private key", `${home.keyPath} (${state("identity")}; never leaves this computer)`],
      ["config", `${home.configPath} (${state("config")})`],
      ["database", `${home.databasePath} (${state("database")})`],
    ]));
  if (made.includes("identity")) output.hint(["", ...pairingSteps(home)]);
  return EXIT.done;
}
