import { posix } from "node:path";
import { MirrorError } from "../domain/mirror_error.ts";
import type { RunProgram, ServiceManager, ServiceSpec, Step, UserFacts } from "./manager.ts";
import { plainText, xmlText } from "./xml_text.ts";

const LAUNCHCTL = "/bin/launchctl";
/** More than the agent is given to end. */
const AGAIN_MS = 35_000;
/** The exit status (EX_CONFIG) that launchd gives an agent whose program or folder is not there. */
const NOT_STARTED = "78";
const WHY_NOT_STARTED =
  " (the program or the home is not where it was: install the service again from where it is)";
const LABEL = "org.mirrorsync.mirrorsync";

/**
 * An agent of launchd on macOS: it starts when its user logs in, as that user.
 *
 * @throws {MirrorError} `failed` when the system does not say where the user's agents are.
 */
export function launchdManager({ env, uid }: UserFacts): ServiceManager {
  const home = env("HOME") || null;
  if (home === null || uid === null) {
    throw new MirrorError("failed", "HOME is not set: the folder of this user's launch agents is not known");
  }
  const path = posix.join(home, "Library", "LaunchAgents", `${LABEL}.plist`);
  const domain = `gui/${uid}`;
  const launchctl = (mayFail: boolean, ...args: string[]): Step => ({
    kind: "run",
    command: [LAUNCHCTL, ...args],
    mayFail,
  });
  return {
    kind: "launchd agent",
    path,
    definition,
    homeIn,
    install: (spec) => {
      const text = definition(spec);
      return [
        { kind: "write", path, text, bytes: new TextEncoder().encode(text) },
        launchctl(true, "bootout", `${domain}/${LABEL}`),
        // What is booted out may still be ending, and then launchd refuses it.
        { kind: "run", command: [LAUNCHCTL, "bootstrap", domain, path], mayFail: false, againMs: AGAIN_MS },
      ];
    },
    uninstall: () => [launchctl(true, "bootout", `${domain}/${LABEL}`), { kind: "remove", path }],
    state: (run) => state(run, `${domain}/${LABEL}`),
    hints: ["It runs while you are logged in. What it says is in service.log in the home."],
  };
}

/** The property list's text. */
function definition({ command, home }: ServiceSpec): string {
  const log = xmlText(posix.join(home, "service.log"));
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Made by mirrorsync service install; mirrorsync service uninstall removes it. -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>${LABEL}</string>
  <key>ProgramArguments</key>
  <array>
${command.map((word) => `    <string>${xmlText(word)}</string>`).join("\n")}
  </array>
  <key>WorkingDirectory</key>
  <string>${xmlText(home)}</string>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ThrottleInterval</key>
  <integer>10</integer>
  <key>ExitTimeOut</key>
  <integer>30</integer>
  <key>StandardOutPath</key>
  <string>${log}</string>
  <key>StandardErrorPath</key>
  <string>${log}</string>
</dict>
</plist>
`;
}

function homeIn(definition: string): string | null {
  const found = /<key>WorkingDirectory<\/key>\s*<string>([^<]+)<\/string>/.exec(definition)?.[1];
  return found === undefined ? null : plainText(found);
}

async function state(run: RunProgram, service: string) {
  const { code, out } = await run([LAUNCHCTL, "print", service]);
  if (code !== 0) return { installed: false, running: false, pid: null, lastEnd: null };
  const fact = (name: string) => new RegExp(`^\\s*${name} = (.*)$`, "m").exec(out)?.[1] ?? null;
  const pid = Number(fact("pid") ?? 0);
  const running = fact("state") === "running" && pid > 0;
  const last = fact("last exit code");
  const ended = last === null || last === "0" || last.startsWith("(")
    ? null
    : `exit status ${last}${last.startsWith(NOT_STARTED) ? WHY_NOT_STARTED : ""}`;
  return { installed: true, running, pid: running ? pid : null, lastEnd: running ? null : ended };
}
