import type { Command } from "commander";
import { whoOf } from "../auth/auth.ts";
import { confirmHeldDeletions, readHeldDeletions } from "../store/held_deletions.ts";
import type { Action, Context } from "./context.ts";
import { EXIT, helpEnd } from "./exit_status.ts";
import { plural, showPath } from "./text.ts";

/** Adds `mirrorsync confirm`. */
export function addConfirm(program: Command, action: Action): void {
  program.command("confirm")
    .summary("let go of deletions that wait because they are so many")
    .description(
      "When more than half of a tree of over 50 files would be deleted on a peer at once, nothing of it is: it could be a disk that " +
        "is not mounted. `status` says what waits. This says that it is meant: what waits at this moment is deleted on the peer, " +
        "and nothing that comes later. A peer that runs begins within a second; without one the next run does it.",
    )
    .addHelpText("after", helpEnd("mirrorsync confirm", [EXIT.done, EXIT.failed, EXIT.wrongUsage]))
    .action(action("operator", confirm));
}

async function confirm({ home, output, actor }: Context): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const confirmed = store.transaction(() =>
    store.peers.list().flatMap((peer) => {
      const held = readHeldDeletions(store, peer.number);
      const paths = confirmHeldDeletions(store, peer, Date.now());
      if (paths === 0) return [];
      const folders = held.map(({ folder }) => folder === "" ? "watched/" : `watched/${folder}`);
      store.audit.record({
        ...{ atMs: Date.now(), kind: "deletions_confirmed", who: whoOf(actor), subject: peer.name },
        detail: `${paths} paths in ${folders.join(", ")}`,
      });
      return [{ peer: peer.name, paths, folders }];
    })
  );
  output.done(
    { confirmed },
    () =>
      confirmed.length === 0
        ? ["Nothing waits to be confirmed."]
        : confirmed.map(({ peer, paths, folders }) =>
          `${plural(paths, "path")} in ${folders.map(showPath).join(", ")} will be deleted on ${peer}.`
        ),
  );
  return EXIT.done;
}
