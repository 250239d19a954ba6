import type { Notifications } from "../notify/notifications.ts";
import type { Store } from "../store/store.ts";
import type { Reporter } from "./reporter.ts";

/** What shows notices on this computer's desktop. To be called before any peer is linked. */
export async function openNotifications(store: Store, reporter: Reporter): Promise<Notifications> {
  const [{ Notifications }, { showOnDesktop }] = await Promise.all([
    import("../notify/notifications.ts"),
    import("../notify/desktop.ts"),
  ]);
  return new Notifications({
    store,
    show: (notice) => showOnDesktop(Deno.build.os, notice),
    onProblem: (message) => reporter.tell({ kind: "problem", level: "warning", message }),
  });
}
