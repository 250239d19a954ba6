import type { Address } from "../domain/ports.ts";
import type { Identity } from "../identity/identity.ts";
import type { Store } from "../store/store.ts";
import type { Output } from "./output.ts";

/** A listener that takes joiners in and nobody else, while no `run` does it. */
export interface InviteDoor extends Disposable {
  /** Where it really listens. */
  readonly address: Address;
  /** Resolves when an invite was used, expired, or was ended by wrong tries. */
  end(id: string): Promise<"used" | "expired" | "locked">;
}

/** How often it is looked whether the invite has expired. */
const LOOK_MS = 250;

/** Opens it at `listen`; whoever holds it has the lock of the home. */
export async function openInviteDoor(
  parts: {
    readonly store: Store;
    readonly identity: Identity;
    readonly name: string;
    readonly listen: Address;
    readonly output: Output;
  },
): Promise<InviteDoor> {
  const { store, identity, name, listen, output } = parts;
  const [{ TlsNetwork }, { SystemClock }, { PairingHost }] = await Promise.all([
    import("../link/tls_network.ts"),
    import("../system/system_clock.ts"),
    import("../peer/pairing_host.ts"),
  ]);
  const clock = new SystemClock();
  const host = new PairingHost({
    ...{ store, clock, name, fingerprint: () => identity.fingerprint },
    onPaired: (peer) => output.hint([`Paired with ${peer.name}.`]),
    onRefused: (message) => output.warn(message),
  });
  let talking = 0;
  // No peer is trusted here: a link is the affair of a `run`.
  const network = new TlsNetwork({ identity: () => identity, trusted: () => [], clock });
  const listener = await network.listen(listen, (connection) => connection.close(), {
    isOpen: () => host.isOpen(),
    hear: async (connection) => {
      talking++;
      try {
        await host.hear(connection);
      } finally {
        talking--;
      }
    },
  });
  let cancel = () => {};
  return {
    address: listener.address,
    end: (id) =>
      new Promise((resolve) => {
        const look = () => {
          const invite = store.invites.byId(id);
          const isOver = invite === null || invite.expiresMs <= clock.now();
          if (talking > 0) cancel = clock.after(LOOK_MS, look); // its answer is on its way
          else if (invite !== null && invite.state !== "open") resolve(invite.state);
          else if (isOver) resolve("expired");
          else cancel = clock.after(LOOK_MS, look);
        };
        look();
      }),
    [Symbol.dispose]: () => {
      cancel();
      listener.close();
    },
  };
}
