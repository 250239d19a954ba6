import { posix } from "node:path";
import { MirrorError } from "../domain/mirror_error.ts";
import type { RunProgram, ServiceManager, ServiceSpec, Step, UserFacts } from "./manager.ts";

const SYSTEMCTL = "/usr/bin/systemctl";
const UNIT = "mirrorsync.service";
/** What the exit statuses mean that systemd itself gives when a program could not be started. */
const WHY: Readonly<Record<string, string>> = {
  "200": " (the home is not there)",
  "203": " (the program is not where it was: if it was moved, install the service again from there)",
};

/**
 * A user unit of systemd: it starts when its user logs in, as that user.
 *
 * @throws {MirrorError} `failed` when the system does not say where the user's units are.
 */
export function systemdManager({ env }: UserFacts): ServiceManager {
  const config = env("XDG_CONFIG_HOME") ?? "";
  const home = env("HOME") || null;
  if (!posix.isAbsolute(config) && home === null) {
    throw new MirrorError("failed", "HOME is not set: the folder of this user's systemd units is not known");
  }
  const folder = posix.isAbsolute(config) ? config : posix.join(home!, ".config");
  const path = posix.join(folder, "systemd", "user", UNIT);
  const systemctl = (...args: string[]): Step => ({
    kind: "run",
    command: [SYSTEMCTL, "--user", ...args],
    mayFail: false,
  });
  return {
    kind: "systemd user unit",
    path,
    definition,
    homeIn,
    install: (spec) => {
      const text = definition(spec);
      return [
        { kind: "write", path, text, bytes: new TextEncoder().encode(text) },
        systemctl("daemon-reload"),
        systemctl("enable", UNIT),
        systemctl("restart", UNIT),
      ];
    },
    uninstall: () => [
      { kind: "run", command: [SYSTEMCTL, "--user", "disable", "--now", UNIT], mayFail: true },
      { kind: "remove", path },
      systemctl("daemon-reload"),
    ],
    state: (run) => state(run),
    hints: [
      "It runs while you are logged in. To have it run from the start of the computer on:  loginctl enable-linger",
      `What it says:  journalctl --user -u ${UNIT}`,
    ],
  };
}

/** The unit's text. (The slash after the home keeps a backslash or a space at its end from being read as something else.) */
function definition({ command, home }: ServiceSpec): string {
  return `# Made by \`mirrorsync service install\`; \`mirrorsync service uninstall\` removes it.
[Unit]
Description=MirrorSync mirrors a folder to another computer
# However often it fails (a disk that is not mounted yet, say), it is tried again.
StartLimitIntervalSec=0

[Service]
ExecStart=:${command.map(quote).join(" ")}
WorkingDirectory=${quoteSpecifiers(home)}/
Restart=on-failure
RestartSec=3
# Wrong usage, and a token that does not count: trying again helps nobody.
RestartPreventExitStatus=2 3
TimeoutStopSec=30
NoNewPrivileges=yes

[Install]
WantedBy=default.target
`;
}

function homeIn(definition: string): string | null {
  return /^WorkingDirectory=(.+)\/$/m.exec(definition)?.[1]?.replaceAll("%%", "%") ?? null;
}

/** A word of a command line as systemd reads it: quoted, and without its specifiers. (The `:` before them turns variables off.) */
function quote(word: string): string {
  const text = quoteSpecifiers(word);
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, "\\$&")}"`;
}

function quoteSpecifiers(text: string): string {
  mustBePlain(text);
  return text.replaceAll("%", "%%");
}

function mustBePlain(text: string): void {
  // deno-lint-ignore no-control-regex -- these are what it looks for
  if (/[\u0000-\u001f\u007f]/.test(text)) {
    throw new MirrorError(
      "bad_folder",
      `${JSON.stringify(text)} has control characters in it, which a systemd unit cannot hold: rename it`,
    );
  }
}

async function state(run: RunProgram) {
  const { code, out, err } = await run([
    ...[SYSTEMCTL, "--user", "show", UNIT],
    "--property=LoadState,ActiveState,MainPID,Result,ExecMainStatus,NRestarts",
  ]);
  if (code !== 0) {
    throw new MirrorError(
      "failed",
      `systemd's user manager does not answer (${
        err.trim() || `exit status ${code}`
      }): it runs where you are logged in, or ` +
        "after  sudo loginctl enable-linger $USER. Without systemd, let whatever starts programs here run  mirrorsync run",
    );
  }
  const facts = new Map(
    out.split("\n").map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)] as const;
    }),
  );
  const pid = Number(facts.get("MainPID") ?? 0);
  const running = facts.get("ActiveState") === "active" && pid > 0;
  const restarts = Number(facts.get("NRestarts") ?? 0);
  const status = facts.get("ExecMainStatus") ?? "";
  const ended = facts.get("Result") === "success"
    ? null
    : `${facts.get("Result")}, exit status ${status}${WHY[status] ?? ""}, started again ${restarts} times`;
  return {
    installed: facts.get("LoadState") === "loaded",
    running,
    pid: running ? pid : null,
    lastEnd: running ? null : ended,
  };
}
