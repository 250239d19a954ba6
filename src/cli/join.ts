import type { Command } from "commander";
import { type Actor, whoOf } from "../auth/auth.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import { freePeerName } from "../domain/peer_name.ts";
import { type Invite, parseInvite } from "../identity/invite.ts";
import { DEFAULT_PORT, formatAddress, parseAddress } from "../link/address.ts";
import type { ReachedInviter } from "../link/pairing_dial.ts";
import type { Peer } from "../store/peers.ts";
import type { Store } from "../store/store.ts";
import { loadConfig } from "./config.ts";
import type { Action, Context } from "./context.ts";
import { currentRun } from "./current_run.ts";
import { EXIT, helpEnd } from "./exit_status.ts";
import { nameFlag } from "./init.ts";
import { initialise } from "./initialise.ts";
import type { Input } from "./input.ts";
import { isLoopback } from "./own_addresses.ts";
import { showFingerprint } from "./pairing.ts";

interface Flags {
  readonly name?: string;
}

/** More than any invite has. */
const MAX_LINE_BYTES = 16 * 1024;

/** Adds `mirrorsync join`. */
export function addJoin(program: Command, action: Action): void {
  program.command("join").argument("<invite>", "the line that `mirrorsync invite` printed, or - for stdin")
    .summary("pair with the computer that made an invite")
    .description(
      "Pairs this computer with the one that made the invite: each trusts the other's certificate from then on, and `run` needs " +
        "no address. It makes sure first that the inviter itself answers, by the fingerprint in the invite. If the answer is lost, " +
        "join again with the same invite. With - the line is read from stdin, so that it is in no shell history.",
    )
    .option("--name <name>", "what to call the other peer here (default: the name it gives itself)", nameFlag)
    .addHelpText(
      "after",
      helpEnd("mirrorsync join MS1-…\npbpaste | mirrorsync join -", [
        EXIT.done,
        EXIT.failed,
        EXIT.wrongUsage,
        EXIT.noSuchPeer,
        EXIT.notReached,
      ], {
        [EXIT.wrongUsage]: "wrong usage, or the line is no whole invite",
        [EXIT.noSuchPeer]: "the invite was refused, or somebody else answers at its addresses",
      }),
    )
    .action(action("admin", join));
}

async function join({ home, output, input, actor }: Context, text: string, flags: Flags): Promise<number> {
  const invite = parseInvite(text === "-" ? await readLine(input) : text);
  const addresses = invite.addresses.map(inviteAddress);
  const { identity, made } = await initialise(home, { name: null, listen: null });
  if (made.length > 0) output.hint([`Made ${made.join(", ")} in ${home.directory}.`]);
  if (invite.fingerprint === identity.fingerprint) {
    throw new MirrorError("wrong_usage", "this invite was made here: use it on the other computer");
  }
  const config = await loadConfig(home.configPath);
  using store = home.openStore();
  const { holder, run } = await currentRun(home, store);
  mustBeFree(store, flags.name, invite);
  const [{ reachInviter }, { askToJoin }, { SystemClock }] = await Promise.all([
    import("../link/pairing_dial.ts"),
    import("../link/pairing.ts"),
    import("../system/system_clock.ts"),
  ]);
  const reached = await reachInviter(addresses, invite.fingerprint, new SystemClock());
  let peer: Peer;
  try {
    const listen = run?.listen ? parseAddress(run.listen) : config.listen;
    const theirName = await askToJoin(reached.connection, invite, {
      ...{ identity, name: config.name ?? identity.name },
      port: portFor(listen?.host ?? null, listen?.port ?? DEFAULT_PORT, reached),
    });
    peer = remember(store, invite, reached, flags.name ?? null, theirName, actor);
  } finally {
    reached.connection.close();
  }
  const fingerprint = await showFingerprint(peer.fingerprint);
  output.done(
    { name: peer.name, fingerprint: peer.fingerprint, address: peer.address },
    () => [`Paired with ${peer.name}, at ${peer.address}.`, `fingerprint  ${fingerprint}`],
  );
  if (holder === null) output.hint([`To mirror:  ${home.command("run --watched DIR --synced DIR")}`]);
  return EXIT.done;
}

/** The line from stdin; on a terminal it is not shown, as a password would not be. */
function readLine({ askHidden, readAll }: Input): Promise<string> {
  return askHidden === null ? readAll(MAX_LINE_BYTES) : askHidden("Invite: ");
}

/** An address of an invite. @throws {MirrorError} `bad_invite`. */
function inviteAddress(text: string) {
  try {
    return parseAddress(text);
  } catch (cause) {
    throw new MirrorError("bad_invite", `the invite names ${JSON.stringify(text)}, which is no address`, {
      cause,
    });
  }
}

/** Looks before anything is said whether the wanted name is free: the invite serves once. */
function mustBeFree(store: Store, name: string | undefined, { fingerprint }: Invite): void {
  const holder = name === undefined ? null : store.peers.byName(name);
  if (holder === null || holder.fingerprint === fingerprint) return;
  throw new MirrorError(
    "wrong_usage",
    `there is already a peer named ${name}: give --name another name, or remove that one first (mirrorsync peer remove)`,
  );
}

/** The port to tell the inviter; `null` when it could not reach this side there. */
function portFor(host: string | null, port: number, { address }: ReachedInviter): number | null {
  if (port === 0) return null; // the system will choose one
  return host !== null && isLoopback(host) && !isLoopback(address.host) ? null : port;
}

/** Pins the inviter's certificate, and remembers where it was reached, and where else it may be. */
function remember(
  store: Store,
  { fingerprint, addresses }: Invite,
  { certificatePem, address }: ReachedInviter,
  wantedName: string | null,
  theirName: string,
  actor: Actor,
): Peer {
  return store.transaction(() => {
    const known = store.peers.byFingerprint(fingerprint);
    const name = wantedName ?? known?.name ??
      freePeerName(theirName, (each) => store.peers.byName(each) !== null);
    const here = formatAddress(address);
    const peer = store.peers.add({
      ...{ name, fingerprint, certificatePem, address: here, addedMs: Date.now() },
      otherAddresses: addresses.filter((other) => other !== here),
    });
    const detail = `paired by its invite, at ${peer.address}; fingerprint ${fingerprint}`;
    store.audit.record({
      atMs: Date.now(),
      kind: "peer_added",
      who: whoOf(actor),
      subject: peer.name,
      detail,
    });
    return peer;
  });
}
