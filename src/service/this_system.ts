import { MirrorError } from "../domain/mirror_error.ts";
import { launchdManager } from "./launchd.ts";
import type { ServiceManager, UserFacts } from "./manager.ts";
import { systemdManager } from "./systemd.ts";
import { taskManager } from "./task_scheduler.ts";

/**
 * What starts programs by itself on a system.
 *
 * @throws {MirrorError} `failed` when there is nothing that this program knows, or the user is not known.
 */
export function serviceManager(user: UserFacts, home: string): ServiceManager {
  switch (user.os) {
    case "linux":
      return systemdManager(user);
    case "darwin":
      return launchdManager(user);
    case "windows":
      return taskManager(user, home);
    default:
      throw new MirrorError(
        "failed",
        `on ${user.os} there is no service manager that mirrorsync knows: let whatever starts programs there run  mirrorsync run`,
      );
  }
}
