import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import { type Address, FileError } from "../domain/ports.ts";
import type { RunStatus } from "../domain/status.ts";
import { formatAddress, parseAddress } from "../link/address.ts";
import type { Peer } from "../store/peers.ts";
import type { Store } from "../store/store.ts";
import type { Config } from "./config.ts";
import { checkFolders } from "./folders.ts";
import { type Check, failed, ok, warning } from "./health.ts";
import type { Home } from "./home.ts";
import { defaultListenAddress } from "./listen_address.ts";
import type { StatusReport } from "./status_text.ts";
import { plural, showPath, showTime } from "./text.ts";

/** Certificates that end sooner than this are told of. */
const SOON_MS = 60 * 86_400_000;
/** How long a peer has to answer. */
const PEER_MS = 5_000;
/** How long a watcher has to say that it cannot watch. */
const WATCHER_MS = 500;
/** The part of the system's limit on watched folders that is worth a word. */
const LIMIT_SHARE = 0.8;

/** Our key and certificate. */
export async function identityCheck(home: Home, nowMs: number): Promise<Check> {
  const [{ loadIdentity }, { parseCertificate }] = await Promise.all([
    import("../identity/identity.ts"),
    import("../identity/certificate.ts"),
  ]);
  try {
    const identity = await loadIdentity(home.directory);
    if (identity === null) throw home.notInitialised();
    const { notAfterMs } = parseCertificate(identity.certificatePem, { nowMs, source: home.certificatePath });
    if (notAfterMs - nowMs > SOON_MS) {
      return ok("identity", `key and certificate fit, and can be used until ${showTime(notAfterMs)}`);
    }
    return warning(
      "identity",
      `the certificate ends at ${showTime(notAfterMs)}`,
      `make a new one while all peers are linked:  ${home.command("identity rotate")}`,
    );
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    return failed("identity", error.message, "without an identity there is no link");
  }
}

/** The certificates of the peers. */
export async function certificateChecks(store: Store, nowMs: number): Promise<Check[]> {
  const { parseCertificate } = await import("../identity/certificate.ts");
  const checks: Check[] = [];
  for (const { name, certificatePem } of store.peers.list()) {
    try {
      const { notAfterMs, notBeforeMs, notYetValid } = parseCertificate(certificatePem, {
        nowMs,
        source: `the certificate of ${name}`,
      });
      if (notYetValid) {
        checks.push(failed(
          "certificate",
          `that of ${name} cannot be used before ${showTime(notBeforeMs)}`,
          "see that the clocks of both computers are right",
        ));
      } else if (notAfterMs - nowMs > SOON_MS) {
        checks.push(ok("certificate", `that of ${name} can be used until ${showTime(notAfterMs)}`));
      } else {
        checks.push(warning(
          "certificate",
          `that of ${name} ends at ${showTime(notAfterMs)}`,
          `make a new one there while it is linked: mirrorsync identity rotate`,
        ));
      }
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error;
      checks.push(failed("certificate", error.message, `pair with ${name} again: mirrorsync invite`));
    }
  }
  return checks;
}

/** The two folders: there, apart, to be read and written. */
export async function folderChecks(
  home: Home,
  { watched, synced }: Pick<StatusReport, "watched" | "synced">,
  isRunning: boolean,
): Promise<Check[]> {
  if (watched === null || synced === null) {
    return [warning("folders", "they are not named yet", home.command("run --watched DIR --synced DIR"))];
  }
  try {
    await checkFolders({ watched, synced, home: home.directory });
    if (!isRunning) await tryToWrite(synced);
    return [ok("folders", `${showPath(watched)} can be read, ${showPath(synced)} be written to`)];
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    return [
      failed("folders", error.message, "until then nothing is mirrored, and nothing is deleted on a peer"),
    ];
  }
}

/** Writes a file into `synced/` and takes it away again; not beside a run, which does so all the time. */
async function tryToWrite(synced: string): Promise<void> {
  const path = `${synced}/.mirrorsync-probe-${crypto.randomUUID()}`;
  try {
    await Deno.writeTextFile(path, "", { createNew: true });
    await Deno.remove(path);
  } catch (cause) {
    throw new MirrorError(
      "bad_folder",
      `nothing can be written into ${showPath(synced)} (${messageOf(cause)}): give this user the right to`,
      { cause },
    );
  }
}

/** Where peers are to reach this one. */
export async function portCheck(config: Config, run: RunStatus | null): Promise<Check> {
  if (run?.listen !== null && run?.listen !== undefined) {
    const address = parseAddress(run.listen);
    try {
      (await Deno.connect({ hostname: reachable(address.host), port: address.port })).close();
      return ok("port", `${run.listen} is listened on, and takes connections from here`);
    } catch (error) {
      return failed(
        "port",
        `${run.listen} takes no connection, although mirrorsync runs (${messageOf(error)})`,
        "see that no firewall on this computer keeps it shut, and start mirrorsync again",
      );
    }
  }
  const address = config.listen ?? await defaultListenAddress();
  try {
    Deno.listen({ hostname: address.host, port: address.port }).close();
    return ok("port", `${formatAddress(address)} is free for mirrorsync to listen on`);
  } catch (error) {
    const inUse = error instanceof Deno.errors.AddrInUse;
    return failed(
      "port",
      `${formatAddress(address)} cannot be listened on: ${
        inUse ? "another program has it" : messageOf(error)
      }`,
      inUse
        ? "end that program, or choose another port with --listen"
        : "choose another address with --listen",
    );
  }
}

function reachable(host: string): string {
  return host === "::" || host === "0.0.0.0" ? "127.0.0.1" : host;
}

/** What the system allows of watched folders: its figure where it may be read, and a try. */
export async function limitChecks(
  store: Store,
  { watched }: Pick<StatusReport, "watched">,
): Promise<Check[]> {
  // That it is not there is told by the check of the folders, and has nothing to do with limits.
  if (watched === null || !(await isFolder(watched))) return [];
  const folders = store.observed.count().folders + 1;
  const limit = await watchLimit();
  const raise = "raise it: sudo sysctl fs.inotify.max_user_watches=1048576 (in /etc/sysctl.d for good)";
  const reason = await whyNotWatched(watched);
  if (reason !== null) {
    const isLimit = Deno.build.os === "linux" && !(reason instanceof FileError && reason.code === "denied");
    return [
      failed(
        "limits",
        `${showPath(watched)} cannot be watched: ${messageOf(reason)}`,
        isLimit
          ? raise
          : "see that it can be read, and all folders in it; until then changes are found by scans",
      ),
    ];
  }
  const found = `${plural(folders, "folder")} can be watched${
    limit === null ? "" : `, of ${limit.toLocaleString("en")} that the system allows`
  }`;
  if (limit !== null && folders > LIMIT_SHARE * limit) return [warning("limits", found, raise)];
  return [ok("limits", found)];
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch {
    return false;
  }
}

async function watchLimit(): Promise<number | null> {
  if (Deno.build.os !== "linux") return null;
  try {
    return Number.parseInt(await Deno.readTextFile("/proc/sys/fs/inotify/max_user_watches"), 10) || null;
  } catch {
    // The program has no right to look there unless it was given all; trying says what matters.
    return null;
  }
}

/** Watches for a moment, and tells what keeps the system from doing so. */
async function whyNotWatched(watched: string): Promise<unknown> {
  const { DiskTree } = await import("../system/disk_tree.ts");
  try {
    const watcher = new DiskTree(watched).watch();
    const cancel = setTimeout(() => watcher.close(), WATCHER_MS);
    try {
      for await (const _ of watcher) break;
    } finally {
      clearTimeout(cancel);
      watcher.close();
    }
    return null;
  } catch (error) {
    return error;
  }
}

/** Each peer: linked, or tried at every address that is known of it. */
export async function peerChecks(home: Home, store: Store, run: RunStatus | null): Promise<Check[]> {
  const peers = store.peers.list();
  if (peers.length === 0) {
    return [warning("peer", "none is trusted yet", `pair with  ${home.command("invite")}`)];
  }
  return await Promise.all(peers.map(async (peer) => {
    const live = run?.peers.find(({ fingerprint }) => fingerprint === peer.fingerprint);
    if (live?.link === "up") {
      return ok("peer", `${peer.name} is connected (${live.remoteAddress ?? "address not known"})`);
    }
    const addresses = [peer.address, ...peer.otherAddresses].filter((address) => address !== null);
    if (addresses.length === 0) {
      return warning(
        "peer",
        `${peer.name} is not connected, and has no address here: it has to dial`,
        `see that it runs and knows this computer's address, or say where it is: ${
          home.command(`peer add … --address HOST:PORT`)
        }`,
      );
    }
    return await tryPeer(home, store, peer, addresses.map(parseAddress));
  }));
}

async function tryPeer(home: Home, store: Store, peer: Peer, addresses: readonly Address[]): Promise<Check> {
  const failures: string[] = [];
  for (const address of addresses) {
    try {
      await greet(home, store, peer, address);
      return ok(
        "peer",
        `${peer.name} answers at ${formatAddress(address)}, is who it should be, and takes us`,
      );
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error;
      failures.push(error.message);
    }
  }
  return failed(
    "peer",
    `${peer.name} cannot be reached: ${failures.join("; ")}`,
    `see that mirrorsync runs there, that the address is right and no firewall is in between`,
  );
}

/** Dials a peer and asks whether it is there, as any client may. */
async function greet(home: Home, store: Store, peer: Peer, address: Address): Promise<void> {
  const [{ loadIdentity }, { TlsNetwork }, { SystemClock }, { FRAME_OVERHEAD_BYTES, writeFrameHead }] =
    await Promise.all([
      import("../identity/identity.ts"),
      import("../link/tls_network.ts"),
      import("../system/system_clock.ts"),
      import("../wire/frame.ts"),
    ]);
  const identity = await loadIdentity(home.directory);
  if (identity === null) throw home.notInitialised();
  const network = new TlsNetwork({
    identity: () => identity,
    trusted: () => store.peers.pinned(),
    clock: new SystemClock(),
  });
  const connection = await network.dial(address, peer.fingerprint, AbortSignal.timeout(PEER_MS));
  const late = setTimeout(() => connection.close(), PEER_MS);
  try {
    const ping = JSON.stringify({ id: crypto.randomUUID(), action: "ping" });
    const frame = new Uint8Array(ping.length + FRAME_OVERHEAD_BYTES);
    writeFrameHead(frame, ping, 0);
    await connection.write(frame);
    if (await connection.read() !== null) return;
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
  } finally {
    clearTimeout(late);
    connection.close();
  }
  throw new MirrorError(
    "not_trusted",
    `${
      formatAddress(address)
    } ends the connection at once: it does not trust this peer's certificate (any more)`,
  );
}
