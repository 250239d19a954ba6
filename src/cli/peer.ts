import type { Command } from "commander";
import { whoOf } from "../auth/auth.ts";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Address } from "../domain/ports.ts";
import { formatAddress } from "../link/address.ts";
import type { PeerLinkStatus, RunStatus } from "../domain/status.ts";
import type { Peer } from "../store/peers.ts";
import { type Action, type Context, peerAddressFlag } from "./context.ts";
import { currentRun } from "./current_run.ts";
import { examplesEnd, EXIT, helpEnd } from "./exit_status.ts";
import { nameFlag } from "./init.ts";
import { showFingerprint } from "./pairing.ts";
import { isPeerName } from "../domain/peer_name.ts";
import { escapeText, jsonTime, jsonTimeOrNull, showPath, showTime, table } from "./text.ts";

interface AddFlags {
  readonly address?: Address;
  readonly name?: string;
  readonly replaces?: string;
}

/** Certificates have about 600 bytes, with a printed form around them some thousand. */
const MAX_CERTIFICATE_BYTES = 1024 * 1024;

/** Adds `mirrorsync peer add|list|remove`. */
export function addPeer(program: Command, action: Action): void {
  const peer = program.command("peer")
    .summary("trust another peer, list the trusted ones, or trust one no longer")
    .description(
      "The peers that this one trusts. Only they can connect, and only they are connected to. A peer that runs obeys a " +
        "change within a second.",
    )
    .addHelpText(
      "after",
      examplesEnd(
        "mirrorsync peer add desktop.pem --address desktop.local:22600\nmirrorsync peer list\nmirrorsync peer remove desktop",
      ),
    );
  peer.command("add").argument("<cert.pem>", "the other peer's certificate, or - to read it from stdin")
    .summary("trust exactly this certificate")
    .description(
      "Trusts the peer that has the key of this certificate, and nobody else. Get the certificate on the other computer with " +
        "`mirrorsync identity --cert`, and compare the fingerprint that is shown with the one that `mirrorsync identity` " +
        "shows there. Adding the same certificate again brings its name and address up to date.",
    )
    .option("--address <host:port>", "where to reach it; without one, that peer has to dial", peerAddressFlag)
    .option("--name <name>", "what to call it here (default: the name in the certificate)", nameFlag)
    .option(
      "--replaces <name>",
      "the certificate takes the place of that peer's old one; its files are handed on",
    )
    .addHelpText(
      "after",
      helpEnd("mirrorsync peer add desktop.pem --address desktop.local:22600", [
        EXIT.done,
        EXIT.failed,
        EXIT.wrongUsage,
        EXIT.noSuchPeer,
      ], {
        [EXIT.failed]: "failed; the certificate cannot be used",
        [EXIT.noSuchPeer]: "there is no peer of the name in --replaces",
      }),
    )
    .action(action("admin", add));
  peer.command("list")
    .summary("list the trusted peers")
    .description(
      "Lists the trusted peers with address, state and fingerprint, in the order in which they were added.",
    )
    .addHelpText("after", helpEnd("mirrorsync peer list", [EXIT.done, EXIT.failed, EXIT.wrongUsage]))
    .action(action("operator", list));
  peer.command("remove").argument("<name>", "the peer's name here, as `peer list` shows it")
    .summary("trust a peer no longer")
    .description(
      "Ends the trust in a peer, and its link. What it has sent stays in synced/ and belongs to nobody from then on; what is " +
        "pending for it is forgotten.",
    )
    .addHelpText(
      "after",
      helpEnd("mirrorsync peer remove desktop", [EXIT.done, EXIT.failed, EXIT.wrongUsage, EXIT.noSuchPeer]),
    )
    .action(action("admin", remove));
}

async function add({ home, output, actor }: Context, file: string, flags: AddFlags): Promise<number> {
  const [{ parseCertificate }, { loadIdentity }] = await Promise.all([
    import("../identity/certificate.ts"),
    import("../identity/identity.ts"),
  ]);
  const own = await loadIdentity(home.directory);
  if (own === null) throw home.notInitialised();
  const source = file === "-" ? "stdin" : showPath(file);
  const certificate = parseCertificate(await readCertificate(file, source), { source });
  if (certificate.fingerprint === own.fingerprint) {
    throw new MirrorError(
      "wrong_usage",
      `${source} is this peer's own certificate: add the one of the other peer, which ` +
        "`mirrorsync identity --cert` prints there",
    );
  }
  const name = flags.name ?? flags.replaces ?? certificate.name;
  if (!isPeerName(name)) {
    throw new MirrorError(
      "wrong_usage",
      `the name in ${source}, ${
        JSON.stringify(escapeText(name))
      }, cannot name a peer: give it one with --name`,
    );
  }
  const entry = {
    name,
    fingerprint: certificate.fingerprint,
    certificatePem: certificate.pem,
    address: flags.address === undefined ? null : formatAddress(flags.address),
  };
  using store = home.openStore();
  const fingerprint = await showFingerprint(certificate.fingerprint);
  const peer = store.transaction(() => {
    const peer = flags.replaces === undefined
      ? store.peers.add({ ...entry, addedMs: Date.now() })
      : store.peers.replace(flags.replaces, entry);
    const instead = flags.replaces === undefined ? "" : `, in the place of the old key of ${flags.replaces}`;
    store.audit.record({
      ...{ atMs: Date.now(), kind: "peer_added", who: whoOf(actor), subject: peer.name },
      detail: `trusted from now on, with the fingerprint ${fingerprint}${instead}`,
    });
    return peer;
  });
  if (certificate.notYetValid) {
    output.warn(
      `${source} is not valid before ${showTime(certificate.notBeforeMs)}: there is no link until then. ` +
        "Is a clock wrong?",
    );
  }
  output.done(peerJson(peer), () => [
    `${peer.name} is trusted now${peer.address === null ? "; it has to dial" : `, at ${peer.address}`}.`,
    `fingerprint  ${fingerprint}`,
  ]);
  output.hint([`Compare the fingerprint with the one that \`mirrorsync identity\` shows on ${peer.name}.`]);
  return EXIT.done;
}

async function list({ home, output }: Context): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const { run } = await currentRun(home, store);
  const peers = store.peers.list();
  const fingerprints = output.json
    ? []
    : await Promise.all(peers.map((peer) => showFingerprint(peer.fingerprint)));
  output.result(
    peers.map((peer) => ({ ...peerJson(peer), ...stateJson(peer, linkOf(peer, run)) })),
    () =>
      table(peers.map((peer, i) => [
        peer.name,
        peer.address === null ? "(it has to dial)" : [peer.address, ...peer.otherAddresses].join(", "),
        stateText(peer, linkOf(peer, run)),
        fingerprints[i]!,
      ])),
  );
  if (peers.length === 0) {
    output.hint([`No peer is trusted yet: ${home.command("invite")}`]);
  }
  return EXIT.done;
}

/** What the running process says of the link to a peer; `null` while none runs, or it has not noticed the peer yet. */
function linkOf(peer: Peer, run: RunStatus | null): PeerLinkStatus | null {
  return run?.peers.find(({ fingerprint }) => fingerprint === peer.fingerprint) ?? null;
}

function stateJson(peer: Peer, link: PeerLinkStatus | null) {
  const isUp = link?.link === "up";
  const never = peer.lastSeenMs === null ? "never connected" : "not connected";
  return {
    state: isUp ? "connected" : never,
    since: isUp ? jsonTime(link.sinceMs) : jsonTimeOrNull(peer.lastSeenMs),
    reason: link?.reason ?? null,
  };
}

function stateText(peer: Peer, link: PeerLinkStatus | null): string {
  if (link?.link === "up") return `connected since ${showTime(link.sinceMs)}`;
  return peer.lastSeenMs === null ? "never connected" : `not connected since ${showTime(peer.lastSeenMs)}`;
}

async function remove({ home, output, actor }: Context, name: string): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const peer = store.transaction(() => {
    const peer = store.peers.remove(name);
    store.audit.record({
      ...{ atMs: Date.now(), kind: "peer_removed", who: whoOf(actor), subject: peer.name },
      detail: "trusted no longer",
    });
    return peer;
  });
  output.done(peerJson(peer), () => [`${peer.name} is not trusted any more. What it sent stays in synced.`]);
  return EXIT.done;
}

function peerJson(peer: Peer) {
  return {
    name: peer.name,
    fingerprint: peer.fingerprint,
    address: peer.address,
    otherAddresses: peer.otherAddresses,
    added: jsonTime(peer.addedMs),
    lastSeen: jsonTimeOrNull(peer.lastSeenMs),
  };
}

/** The text of a certificate file; no more is read of a file than a certificate can have. */
async function readCertificate(path: string, source: string): Promise<string> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  try {
    const stream = path === "-" ? Deno.stdin.readable : (await openFile(path)).readable;
    for await (const part of stream) {
      parts.push(part);
      bytes += part.length;
      if (bytes > MAX_CERTIFICATE_BYTES) break; // leaving the loop closes the file
    }
  } catch (cause) {
    throw new MirrorError("bad_certificate", `${source} cannot be read: ${messageOf(cause)}`, { cause });
  }
  if (bytes > MAX_CERTIFICATE_BYTES) {
    throw new MirrorError(
      "bad_certificate",
      `${source} is far larger than a certificate: is it the right file?`,
    );
  }
  return await new Blob(parts).text();
}

async function openFile(path: string): Promise<Deno.FsFile> {
  if ((await Deno.stat(path)).isDirectory) throw new Error("it is a folder");
  return await Deno.open(path, { read: true });
}
