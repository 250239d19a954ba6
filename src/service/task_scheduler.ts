import { win32 } from "node:path";
import { MirrorError } from "../domain/mirror_error.ts";
import type { RunProgram, ServiceManager, ServiceSpec, Step, UserFacts } from "./manager.ts";
import { plainText, xmlText } from "./xml_text.ts";

const SCHTASKS = "C:/Windows/System32/schtasks.exe";
/** Runs a console program without a window, which a task by itself cannot. */
const CONHOST = "C:\\Windows\\System32\\conhost.exe";
/** What the task scheduler gives as the last result of a task that runs now: SCHED_S_TASK_RUNNING. */
const RUNNING = 0x41301;
/** And of one that has never run: SCHED_S_TASK_HAS_NOT_RUN. */
const NEVER_RAN = 0x41303;

/**
 * A scheduled task of Windows: it starts when its user logs on, as that user, with no window.
 *
 * @param home The home, in which the task's definition is kept.
 * @throws {MirrorError} `failed` when the system does not say who the user is.
 */
export function taskManager({ env }: UserFacts, home: string): ServiceManager {
  const name = env("USERNAME") || null;
  if (name === null) {
    throw new MirrorError("failed", "USERNAME is not set: it is not known for whom the task would be");
  }
  const domain = env("USERDOMAIN") || null;
  const user = domain === null ? name : `${domain}\\${name}`;
  // Tasks of all users share their names.
  const task = `MirrorSync-${name}`;
  const path = win32.join(home, "service-task.xml");
  const schtasks = (mayFail: boolean, ...args: string[]): Step => ({
    kind: "run",
    command: [SCHTASKS, ...args],
    mayFail,
  });
  return {
    kind: "scheduled task",
    path,
    definition: (spec) => definition(spec, user),
    homeIn,
    install: (spec) => {
      const text = definition(spec, user);
      return [
        { kind: "write", path, text, bytes: utf16(text) },
        schtasks(true, "/End", "/TN", task),
        schtasks(false, "/Create", "/TN", task, "/XML", path, "/F"),
        schtasks(false, "/Run", "/TN", task),
      ];
    },
    uninstall: () => [
      schtasks(true, "/End", "/TN", task),
      schtasks(true, "/Delete", "/TN", task, "/F"),
      { kind: "remove", path },
    ],
    state: (run) => state(run, task),
    hints: ["It runs while you are logged on, and is looked after every minute."],
  };
}

/**
 * The task's text. conhost gives no exit status on, and has been seen to fail at the very moment of the logon, so `RestartOnFailure`
 * alone would not do: the task is begun again every minute, which does nothing while it runs.
 */
function definition({ command, home }: ServiceSpec, user: string): string {
  const id = xmlText(user);
  command.forEach(xmlText); // so that it is the word that is named when one cannot be written
  return `<?xml version="1.0" encoding="UTF-16"?>
<!-- Made by mirrorsync service install; mirrorsync service uninstall removes it. -->
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Author>${id}</Author>
    <Description>MirrorSync mirrors a folder to another computer.</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <Enabled>true</Enabled>
      <UserId>${id}</UserId>
    </LogonTrigger>
    <TimeTrigger>
      <Repetition>
        <Interval>PT1M</Interval>
        <StopAtDurationEnd>false</StopAtDurationEnd>
      </Repetition>
      <StartBoundary>2026-01-01T00:00:00</StartBoundary>
      <Enabled>true</Enabled>
    </TimeTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>${id}</UserId>
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <AllowHardTerminate>true</AllowHardTerminate>
    <StartWhenAvailable>true</StartWhenAvailable>
    <RunOnlyIfNetworkAvailable>false</RunOnlyIfNetworkAvailable>
    <IdleSettings>
      <StopOnIdleEnd>false</StopOnIdleEnd>
      <RestartOnIdle>false</RestartOnIdle>
    </IdleSettings>
    <AllowStartOnDemand>true</AllowStartOnDemand>
    <Enabled>true</Enabled>
    <Hidden>false</Hidden>
    <RunOnlyIfIdle>false</RunOnlyIfIdle>
    <WakeToRun>false</WakeToRun>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>5</Priority>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>999</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>${CONHOST}</Command>
      <Arguments>${xmlText(["--headless", ...command.map(quote)].join(" "))}</Arguments>
      <WorkingDirectory>${xmlText(home)}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
`;
}

function homeIn(definition: string): string | null {
  const found = /<WorkingDirectory>([^<]+)<\/WorkingDirectory>/.exec(definition)?.[1];
  return found === undefined ? null : plainText(found);
}

/** A word of a command line as Windows programs take it apart (CommandLineToArgvW). */
function quote(word: string): string {
  if (word !== "" && !/[\s"]/.test(word)) return word;
  return `"${word.replace(/(\\*)"/g, '$1$1\\"').replace(/\\+$/, "$&$&")}"`;
}

/** Text as `schtasks /XML` reads it: UTF-16, little endian, with a mark. */
function utf16(text: string): Uint8Array {
  const units = Uint16Array.from(`\ufeff${text.replaceAll("\n", "\r\n")}`, (unit) => unit.charCodeAt(0));
  const bytes = new Uint8Array(units.length * 2);
  const view = new DataView(bytes.buffer);
  units.forEach((unit, i) => view.setUint16(i * 2, unit, true));
  return bytes;
}

async function state(run: RunProgram, task: string) {
  const { code, out } = await run([SCHTASKS, "/Query", "/TN", task, "/FO", "CSV", "/V", "/NH"]);
  if (code !== 0) return { installed: false, running: false, pid: null, lastEnd: null };
  // The columns' names and the status are in the system's language, their order is not; the seventh is the last result.
  const columns = [...out.split(/\r?\n/, 1)[0]!.matchAll(/"((?:[^"]|"")*)"/g)].map(([, text]) => text!);
  const last = Number(columns[6]);
  const known = Number.isFinite(last) && ![0, RUNNING, NEVER_RAN].includes(last);
  return {
    installed: true,
    running: last === RUNNING,
    pid: null,
    lastEnd: known ? `result 0x${(last >>> 0).toString(16)}` : null,
  };
}
