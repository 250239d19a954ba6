import { type Command, InvalidArgumentError, Option } from "commander";
import { type Actor, whoOf } from "../auth/auth.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import type { Address } from "../domain/ports.ts";
import { createInvite, formatInvite, MAX_INVITE_ADDRESSES } from "../identity/invite.ts";
import { verifierOf } from "../identity/invite_proof.ts";
import { formatAddress, parseAddress } from "../link/address.ts";
import type { Store } from "../store/store.ts";
import { loadConfig } from "./config.ts";
import { type Action, type Context, peerAddressFlag } from "./context.ts";
import { currentRun } from "./current_run.ts";
import { formatDuration, parseDuration } from "./duration.ts";
import { EXIT, helpEnd } from "./exit_status.ts";
import { HomeLock } from "./home_lock.ts";
import { initialise } from "./initialise.ts";
import { openInviteDoor } from "./invite_door.ts";
import { defaultListenAddress } from "./listen_address.ts";
import type { Output } from "./output.ts";
import { isLoopback, ownNetwork, reachableAddresses } from "./own_addresses.ts";
import { StopSignals } from "./stop_signals.ts";
import { jsonTime } from "./text.ts";

interface Flags {
  readonly address?: readonly Address[];
  readonly expires: number;
  readonly wait: boolean;
}

const DEFAULT_LIFE_MS = 10 * 60_000;
const MIN_LIFE_MS = 1_000;
const MAX_LIFE_MS = 24 * 3_600_000;

/** Adds `mirrorsync invite`. */
export function addInvite(program: Command, action: Action): void {
  program.command("invite")
    .summary("make an invite, by which one other computer can pair with this one")
    .description(
      "Prints an invite: one line, and on a terminal a QR code of it. `mirrorsync join LINE` on the other computer pairs both: " +
        "each trusts the other from then on, and `run` needs no address. It serves once, until it expires, and five wrong tries " +
        "end it. Hand it over like a password: whoever has it can pair. A `run` that is going takes the joiner in; without one " +
        "this command listens itself, until the invite was used or has expired.",
    )
    .option(
      "--address <host:port...>",
      "where the other computer can reach this one (default: this computer's addresses and name)",
      addressFlags,
    )
    .addOption(
      new Option("--expires <time>", "how long it can be used: 10m, 90s, 1h; up to 24h")
        .argParser(lifeFlag).default(DEFAULT_LIFE_MS, "10m"),
    )
    .option("--no-wait", "do not listen here: a `run` that is started later takes the joiner in")
    .addHelpText(
      "after",
      helpEnd("mirrorsync invite --address laptop.local:22600", [
        EXIT.done,
        EXIT.failed,
        EXIT.wrongUsage,
        EXIT.homeInUse,
      ], {
        [EXIT.done]: "the invite was made; where this command listened itself: and used",
        [EXIT.failed]: "failed; or nobody has used the invite while this command listened",
      }),
    )
    .action(action("admin", invite));
}

function addressFlags(text: string, before: readonly Address[] | undefined): Address[] {
  const addresses = [...before ?? [], peerAddressFlag(text)];
  if (addresses.length > MAX_INVITE_ADDRESSES) {
    throw new InvalidArgumentError(`At most ${MAX_INVITE_ADDRESSES} addresses fit into an invite.`);
  }
  return addresses;
}

function lifeFlag(text: string): number {
  const ms = parseDuration(text);
  if (ms >= MIN_LIFE_MS && ms <= MAX_LIFE_MS) return ms;
  throw new InvalidArgumentError("Use a time from 1s to 24h, like 10m.");
}

async function invite({ home, output, actor }: Context, flags: Flags): Promise<number> {
  using signals = new StopSignals(() => Deno.exit(EXIT.failed));
  const { identity, made } = await initialise(home, { name: null, listen: null });
  if (made.length > 0) output.hint([`Made ${made.join(", ")} in ${home.directory}.`]);
  const config = await loadConfig(home.configPath);
  using store = home.openStore();
  const { holder, run } = await currentRun(home, store);
  using _lock = holder === null && flags.wait ? await HomeLock.take(home) : null;
  const listen = run?.listen !== undefined && run.listen !== null
    ? parseAddress(run.listen)
    : config.listen ?? await defaultListenAddress();
  const name = config.name ?? identity.name;
  using door = _lock === null ? null : await openInviteDoor({ store, identity, name, listen, output });
  const addresses = flags.address?.map(formatAddress) ??
    reachableAddresses(door?.address ?? listen, ownNetwork());
  const { id, line, expiresMs } = record(store, identity.fingerprint, addresses, flags.expires, actor);
  output.result(
    { invite: line, expires: jsonTime(expiresMs), fingerprint: identity.fingerprint, addresses },
    () => [line],
  );
  await showQrCode(line, output);
  if (addresses.every((address) => isLoopback(parseAddress(address).host))) {
    output.warn("the invite names this computer's own loopback address only: no other computer can use it");
  }
  output.hint([`On the other computer, within ${formatDuration(flags.expires)}:  mirrorsync join LINE`]);
  if (door !== null) {
    output.hint(["Waiting for it here; Ctrl-C ends that."]);
    const end = await Promise.race([signals.asked.then(() => "stopped" as const), door.end(id)]);
    if (end !== "used") throw new MirrorError("failed", ENDS[end]);
  } else if (holder === null) {
    output.hint([`It can be used as soon as mirrorsync runs here:  ${home.command("run")}`]);
  }
  return EXIT.done;
}

/** Makes an invite and remembers it. */
function record(
  store: Store,
  fingerprint: string,
  addresses: readonly string[],
  lifeMs: number,
  actor: Actor,
) {
  const invite = createInvite(fingerprint, addresses);
  const id = invite.id.toHex();
  const nowMs = Date.now();
  const expiresMs = nowMs + lifeMs;
  store.transaction(() => {
    store.invites.add({ id, verifier: verifierOf(invite.secret), expiresMs }, nowMs);
    const detail = `an invite was made, until ${jsonTime(expiresMs)}`;
    store.audit.record({ atMs: nowMs, kind: "invite_made", who: whoOf(actor), subject: id, detail });
  });
  return { id, line: formatInvite(invite), expiresMs };
}

/** How it can end when nobody has paired. */
const ENDS = {
  stopped:
    "stopped before anybody used the invite; until it expires a `mirrorsync run` takes a joiner in by it",
  expired: "nobody has used the invite, and it has expired: make another one",
  locked: "five wrong tries have ended the invite: make another one, and find out who was trying",
} as const;

/** A QR code on the terminal; stdout has the line alone, so that it can be piped. */
async function showQrCode(line: string, output: Output): Promise<void> {
  if (!output.errIsTerminal || output.json || output.quiet) return;
  const { qrLines } = await import("./qr_text.ts");
  output.hint(qrLines(line, output.errColours));
}
