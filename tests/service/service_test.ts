import assert from "node:assert/strict";
import { ROOT } from "../helpers/program.ts";

/** Whether a command succeeds here. */
function works(command: string, ...args: string[]): boolean {
  try {
    return new Deno.Command(command, { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** The command before another one that has it run where a systemd user manager answers; `null` when none can be had here. */
function userManager(): string[] | null {
  if (Deno.build.os !== "linux") return null;
  if (works("systemctl", "--user", "show-environment")) {
    // It is the tester's own: nothing of theirs is touched.
    return works("systemctl", "--user", "cat", "mirrorsync.service") ? null : [];
  }
  const wrapper = `${ROOT}/tests/helpers/with_user_manager.sh`;
  return works(wrapper, "true") ? [wrapper] : null;
}

const manager = userManager();

Deno.test({
  name: "service: systemd starts it, brings it back when it is killed, and forgets it when it is uninstalled",
  ignore: manager === null,
  fn: async () => {
    const home = await Deno.makeTempDir();
    try {
      const command = [...manager!, Deno.execPath(), "run", "-A", `${ROOT}/tests/service/real_service.ts`];
      const { code, stdout, stderr } = await new Deno.Command(command[0]!, {
        args: command.slice(1),
        cwd: ROOT,
        // With a manager of its own it has folders of its own too.
        env: manager!.length === 0 ? {} : { XDG_CONFIG_HOME: `${home}/config` },
      }).output();
      const text = new TextDecoder();
      assert.equal(code, 0, text.decode(stdout) + text.decode(stderr));
    } finally {
      await Deno.remove(home, { recursive: true });
    }
  },
});
