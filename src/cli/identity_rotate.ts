import type { Command } from "commander";
import { whoOf } from "../auth/auth.ts";
import type { Identity } from "../identity/identity.ts";
import { ROTATION_FACT, type RotationFact } from "../peer/rotation_fact.ts";
import type { Store } from "../store/store.ts";
import type { Action, Context } from "./context.ts";
import { EXIT, helpEnd } from "./exit_status.ts";
import type { Home } from "./home.ts";
import { HomeLock, lockHolder } from "./home_lock.ts";
import { showFingerprint } from "./pairing.ts";

interface Flags {
  readonly now?: true;
}

/** How long a running process is given to carry it out while the command looks on, and how often that is looked at. */
const PATIENCE_MS = 5_000;
const LOOK_MS = 100;

/** Writes down that a new identity is to be taken. */
type Ask = (next: Identity) => void;

/** Adds `mirrorsync identity rotate`. */
export function addRotate(identity: Command, action: Action): void {
  identity.command("rotate")
    .summary("give this peer a new key and certificate, without pairing anew")
    .description(
      "Makes a new key and a new certificate. They are announced to each trusted peer on its link, under the present ones, and " +
        "take their place once every peer has trusted them; until then, while a peer is away, the present ones stay in use. A " +
        "running `run` does it at once, else the next one. (`run` does the same by itself long before the certificate's end.)",
    )
    .option("--now", "do not wait for peers that have not taken it: those have to be paired anew")
    .addHelpText("after", helpEnd("mirrorsync identity rotate", [EXIT.done, EXIT.failed, EXIT.wrongUsage]))
    .action(action("admin", rotate));
}

async function rotate({ home, output, actor }: Context, flags: Flags): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const now = flags.now ?? false;
  const ask: Ask = ({ name, fingerprint }) =>
    store.transaction(() => {
      store.facts.set(ROTATION_FACT, { fingerprint, now } satisfies RotationFact);
      const detail = `a new identity was asked for${now ? ", without waiting for peers" : ""}`;
      const entry = { atMs: Date.now(), kind: "identity_changed", subject: name, detail } as const;
      store.audit.record({ ...entry, who: whoOf(actor) });
    });
  const runs = await lockHolder(home) !== null;
  const next = runs ? await rotateByRun(home, ask) : await rotateAlone(home, store, ask, now);
  const { loadIdentity } = await import("../identity/identity.ts");
  const isChanged = (await loadIdentity(home.directory))?.fingerprint === next.fingerprint;
  const waitingFor = isChanged
    ? []
    : store.peers.list().filter((peer) => peer.tookFingerprint !== next.fingerprint).map(({ name }) => name);
  const fingerprint = await showFingerprint(next.fingerprint);
  output.done(
    { fingerprint: next.fingerprint, state: isChanged ? "changed" : "waiting", waitingFor },
    () => [
      isChanged
        ? "This peer has a new identity."
        : "The new identity is made, and waits: the present one stays in use.",
      `fingerprint  ${fingerprint}`,
    ],
  );
  if (!isChanged) {
    output.hint([
      waitingFor.length > 0
        ? `It is used once ${waitingFor.join(", ")} ${waitingFor.length === 1 ? "has" : "have"} taken it.`
        : "It is used once no invite is open any more.",
      ...(runs ? [] : [`It is announced while mirrorsync runs:  ${home.command("run")}`]),
    ]);
  }
  return EXIT.done;
}

/** Makes the next identity and leaves the rest to the running process; looks on for a while. */
async function rotateByRun(home: Home, ask: Ask): Promise<Identity> {
  const { ensureNextIdentity, loadIdentity } = await import("../identity/identity.ts");
  const own = await loadIdentity(home.directory);
  if (own === null) throw home.notInitialised();
  const next = await ensureNextIdentity(home.directory, own.name);
  ask(next);
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += LOOK_MS) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    if ((await loadIdentity(home.directory))?.fingerprint === next.fingerprint) break;
  }
  return next;
}

/** Makes the next identity while nothing runs; where nobody has to be told it is taken at once. */
async function rotateAlone(home: Home, store: Store, ask: Ask, now: boolean): Promise<Identity> {
  using _lock = await HomeLock.take(home);
  const [{ IdentityKeeper }, { changeIdentity }, { SystemClock }] = await Promise.all([
    import("../identity/identity_keeper.ts"),
    import("../peer/rotation.ts"),
    import("../system/system_clock.ts"),
  ]);
  const keeper = await IdentityKeeper.open(home.directory);
  const next = await keeper.makeNext(Date.now());
  ask(next);
  const isTaken = store.peers.list().every((peer) => peer.tookFingerprint === next.fingerprint);
  if (now || (isTaken && !store.invites.anyOpen(Date.now()))) {
    const parts = { store, keeper, clock: new SystemClock(), onEvent: () => {}, onChanged: () => {} };
    await changeIdentity(parts, next);
  }
  return next;
}
