import type { Command } from "commander";
import type { Action, Context } from "./context.ts";
import { EXIT, helpEnd } from "./exit_status.ts";
import { addRotate } from "./identity_rotate.ts";
import { showFingerprint } from "./pairing.ts";
import { escapeText, table } from "./text.ts";

interface Flags {
  readonly cert?: true;
}

/** Adds `mirrorsync identity`. */
export function addIdentity(program: Command, action: Action): void {
  const command = program.command("identity")
    .summary("show this peer's name and fingerprint, or its certificate; change it")
    .description(
      "Shows who this peer is: its name and the SHA-256 fingerprint of its certificate, which the other side compares. " +
        "With --cert it prints the certificate as PEM, to be given to the other peer; the private key is never printed.",
    )
    .option("--cert", "print the certificate as PEM and nothing else")
    .addHelpText(
      "after",
      helpEnd("mirrorsync identity --cert > laptop.pem", [EXIT.done, EXIT.failed, EXIT.wrongUsage]),
    )
    .action(action("operator", identity));
  addRotate(command, action);
}

async function identity({ home, output }: Context, flags: Flags): Promise<number> {
  const { loadIdentity, loadNextIdentity } = await import("../identity/identity.ts");
  const own = await loadIdentity(home.directory);
  if (own === null) throw home.notInitialised();
  const next = await loadNextIdentity(home.directory);
  if (flags.cert && !output.json) {
    output.text(own.certificatePem);
    return EXIT.done;
  }
  const fingerprint = await showFingerprint(own.fingerprint);
  const nextFingerprint = next === null ? null : await showFingerprint(next.fingerprint);
  output.result({
    name: own.name,
    fingerprint: own.fingerprint,
    home: home.directory,
    certificatePath: home.certificatePath,
    certificate: own.certificatePem,
    nextFingerprint: next?.fingerprint ?? null,
  }, () =>
    table([
      ["name", escapeText(own.name)],
      ["fingerprint", fingerprint],
      ["certificate", home.certificatePath],
      ...(nextFingerprint === null ? [] : [["next", `${nextFingerprint}, once every peer has taken it`]]),
    ]));
  return EXIT.done;
}
