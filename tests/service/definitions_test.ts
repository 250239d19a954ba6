import { parseXml as parse, XmlElement } from "@rgrove/parse-xml";
import assert from "node:assert/strict";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import { carryOut } from "../../src/service/carry_out.ts";
import { launchdManager } from "../../src/service/launchd.ts";
import type { ServiceManager, Step } from "../../src/service/manager.ts";
import { systemdManager } from "../../src/service/systemd.ts";
import { taskManager } from "../../src/service/task_scheduler.ts";

/** Words that every format has its own way to mangle. */
const NASTY = ["/opt/mirror sync/bin", 'a"b\\', "100%h $HOME ${x}", "<&>'ñ", "ends in\\", ""];
const HOME = "/home/ann a/é";

const user = (os: typeof Deno.build.os, env: Record<string, string>, uid: number | null = 501) => ({
  ...{ os, uid },
  env: (name: string) => env[name],
});
const systemd = systemdManager(user("linux", { HOME }));
const launchd = launchdManager(user("darwin", { HOME }));
const task = taskManager(
  user("windows", { USERNAME: "Ann & B", USERDOMAIN: "PC" }, null),
  "C:\\Users\\ann\\Home",
);

function written(manager: ServiceManager, home = HOME): Extract<Step, { kind: "write" }> {
  const step = manager.install({ command: NASTY, home }).find((step) => step.kind === "write");
  assert.ok(step?.kind === "write");
  assert.equal(step.path, manager.path);
  assert.equal(step.text, manager.definition({ command: NASTY, home }));
  return step;
}

/** The root of a document. @throws when it is not well-formed: this parser forgives nothing. */
function parseXml(text: string): XmlElement {
  const { root } = parse(text);
  assert.ok(root !== null);
  return root;
}

function children(element: XmlElement): XmlElement[] {
  return element.children.filter((child) => child instanceof XmlElement);
}

function textOf(element: XmlElement): string {
  return element.text;
}

function commands(steps: readonly Step[]): string[] {
  return steps.flatMap((step) => step.kind === "run" ? [step.command.slice(1).join(" ")] : []);
}

function has(program: string): boolean {
  return new Deno.Command("sh", { args: ["-c", `command -v ${program}`] }).outputSync().success;
}

Deno.test("systemd: the unit lies where the user's units do, and is enabled and started", () => {
  assert.equal(systemd.path, `${HOME}/.config/systemd/user/mirrorsync.service`);
  const elsewhere = systemdManager(user("linux", { HOME, XDG_CONFIG_HOME: "/etc/ann" }));
  assert.equal(elsewhere.path, "/etc/ann/systemd/user/mirrorsync.service");
  assert.deepEqual(commands(systemd.install({ command: NASTY, home: HOME })), [
    "--user daemon-reload",
    "--user enable mirrorsync.service",
    "--user restart mirrorsync.service",
  ]);
  assert.throws(() => systemdManager(user("linux", {})), /HOME is not set/);
});

Deno.test({
  name: "systemd: systemd-analyze finds nothing wrong with the unit",
  ignore: Deno.build.os !== "linux" || !has("systemd-analyze"),
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const home = `${folder}/ho me%\\`;
      await Deno.mkdir(home);
      const program = `${folder}/pro gram`;
      await Deno.writeTextFile(program, "#!/bin/sh\n", { mode: 0o755 });
      const path = `${folder}/mirrorsync.service`;
      await Deno.writeTextFile(path, systemd.definition({ command: [program, ...NASTY], home }));
      const { code, stdout, stderr } = await new Deno.Command("systemd-analyze", {
        args: ["--user", "--man=no", "--recursive-errors=no", "verify", path],
        env: { XDG_RUNTIME_DIR: folder, SYSTEMD_LOG_LEVEL: "warning" },
      }).output();
      const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      assert.equal(code, 0, said);
      assert.doesNotMatch(said, /mirrorsync/);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("a definition tells which home it is for, whatever the home is called", () => {
  for (const manager of [systemd, launchd, task]) {
    for (const home of [HOME, "/ends in\\", "/a space at the end ", "/100%h & <more> 'and' \"so\" on"]) {
      assert.equal(manager.homeIn(manager.definition({ command: NASTY, home })), home, manager.kind);
    }
    assert.equal(manager.homeIn("something else"), null);
  }
  // Nothing after a backslash at the end of a line would be left of the unit.
  assert.match(
    systemd.definition({ command: NASTY, home: "/ends in\\" }),
    /^WorkingDirectory=\/ends in\\\/$/m,
  );
});

Deno.test("launchd: the property list is well-formed, and says what was meant", () => {
  assert.equal(launchd.path, `${HOME}/Library/LaunchAgents/org.mirrorsync.mirrorsync.plist`);
  const root = parseXml(written(launchd).text);
  assert.deepEqual([root.name, root.attributes.version], ["plist", "1.0"]);
  const [dict, ...more] = children(root);
  assert.deepEqual([dict?.name, more], ["dict", []]);
  const entries = children(dict!);
  const facts = new Map(
    entries.flatMap((key, i) => i % 2 === 0 ? [[textOf(key), entries[i + 1]!] as const] : []),
  );
  assert.ok(entries.every(({ name }, i) => i % 2 === 1 || name === "key"));
  assert.deepEqual(children(facts.get("ProgramArguments")!).map(textOf), NASTY);
  assert.equal(textOf(facts.get("WorkingDirectory")!), HOME);
  assert.equal(facts.get("RunAtLoad")!.name, "true");
  // Started again when it fails, not when it ends as it was asked to.
  const keepAlive = children(facts.get("KeepAlive")!);
  assert.deepEqual(keepAlive.map(({ name }) => name), ["key", "false"]);
  assert.equal(textOf(keepAlive[0]!), "SuccessfulExit");
  for (const [key, value] of facts) {
    assert.ok(["string", "array", "dict", "true", "false", "integer"].includes(value.name), key);
  }
  assert.deepEqual(commands(launchd.install({ command: NASTY, home: HOME })), [
    "bootout gui/501/org.mirrorsync.mirrorsync",
    `bootstrap gui/501 ${launchd.path}`,
  ]);
});

Deno.test("launchd: what launchctl says is understood", async () => {
  const says = (out: string, code = 0) => launchd.state(() => Promise.resolve({ code, out, err: "" }));
  assert.deepEqual(
    await says(
      "gui/501/x = {\n\tactive count = 1\n\tpath = /x\n\tstate = running\n\n\tpid = 812\n\tlast exit code = 0\n}\n",
    ),
    { installed: true, running: true, pid: 812, lastEnd: null },
  );
  assert.deepEqual(
    await says("gui/501/x = {\n\tstate = not running\n\tlast exit code = 1\n}\n"),
    { installed: true, running: false, pid: null, lastEnd: "exit status 1" },
  );
  assert.match(
    String(
      (await says("gui/501/x = {\n\tstate = not running\n\tlast exit code = 78: EX_CONFIG\n}\n")).lastEnd,
    ),
    /^exit status 78: EX_CONFIG \(the program or the home is not where it was/,
  );
  assert.deepEqual(
    await says("gui/501/x = {\n\tstate = waiting\n\tlast exit code = (never exited)\n}\n"),
    { installed: true, running: false, pid: null, lastEnd: null },
  );
  assert.deepEqual(await says("", 113), { installed: false, running: false, pid: null, lastEnd: null });
});

Deno.test("Windows: the task is UTF-16 with a mark, in the order of the schema, and says what was meant", () => {
  const { text, bytes } = written(task, "C:\\Users\\ann\\Home");
  assert.deepEqual([...bytes.subarray(0, 4)], [0xff, 0xfe, "<".charCodeAt(0), 0]);
  assert.equal(new TextDecoder("utf-16le").decode(bytes).replaceAll("\r\n", "\n"), text);
  const root = parseXml(text);
  assert.equal(root.attributes.xmlns, "http://schemas.microsoft.com/windows/2004/02/mit/task");
  const part = (path: string) =>
    path.split("/").reduce((at, name) => {
      const found = children(at).find((child) => child.name === name);
      assert.ok(found, `${path} is not there`);
      return found;
    }, root);
  assert.deepEqual(
    children(root).map(({ name }) => name),
    ["RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"],
  );
  assert.equal(textOf(part("Triggers/LogonTrigger/UserId")), "PC\\Ann & B");
  assert.equal(textOf(part("Principals/Principal/LogonType")), "InteractiveToken");
  assert.equal(textOf(part("Principals/Principal/RunLevel")), "LeastPrivilege");
  assert.equal(textOf(part("Settings/ExecutionTimeLimit")), "PT0S");
  assert.equal(textOf(part("Settings/MultipleInstancesPolicy")), "IgnoreNew");
  assert.equal(textOf(part("Settings/RestartOnFailure/Interval")), "PT1M");
  assert.equal(textOf(part("Triggers/TimeTrigger/Repetition/Interval")), "PT1M");
  assert.equal(part("Actions").attributes.Context, part("Principals/Principal").attributes.id);
  assert.match(textOf(part("Actions/Exec/Command")), /conhost\.exe$/);
  const [headless, ...words] = takeApart(textOf(part("Actions/Exec/Arguments")));
  assert.equal(headless, "--headless");
  assert.deepEqual(words, NASTY);
  assert.deepEqual(commands(task.install({ command: NASTY, home: "C:\\Users\\ann\\Home" })), [
    "/End /TN MirrorSync-Ann & B",
    "/Create /TN MirrorSync-Ann & B /XML C:\\Users\\ann\\Home\\service-task.xml /F",
    "/Run /TN MirrorSync-Ann & B",
  ]);
});

/** Takes a command line apart as CommandLineToArgvW does, by its documented rules for backslashes and quotes. */
function takeApart(line: string): string[] {
  const words: string[] = [];
  let word: string | null = null, quoted = false;
  for (let i = 0; i < line.length;) {
    const slashes = /^\\*/.exec(line.slice(i))![0].length;
    if (line[i + slashes] === '"') {
      word = (word ?? "") + "\\".repeat(slashes >> 1);
      if (slashes % 2 === 1) word += '"';
      else quoted = !quoted;
      i += slashes + 1;
    } else if (slashes > 0) {
      word = (word ?? "") + "\\".repeat(slashes);
      i += slashes;
    } else if (!quoted && /\s/.test(line[i]!)) {
      if (word !== null) words.push(word);
      word = null;
      i++;
    } else word = (word ?? "") + line[i++];
  }
  return word === null ? words : [...words, word];
}

Deno.test("Windows: what schtasks says is understood in any language", async () => {
  const says = (last: string, code = 0) =>
    task.state(() => {
      const line = [
        "PC",
        "\\MirrorSync-Ann",
        "N/D",
        "En ejecución",
        "Solo interactivo",
        "26/11/2026",
        last,
        "PC",
      ];
      return Promise.resolve({ code, out: line.map((text) => `"${text}"`).join(",") + "\r\n", err: "" });
    });
  assert.deepEqual(await says("267009"), { installed: true, running: true, pid: null, lastEnd: null });
  assert.deepEqual(await says("267011"), { installed: true, running: false, pid: null, lastEnd: null });
  assert.deepEqual(await says("-1073741510"), {
    ...{ installed: true, running: false, pid: null, lastEnd: "result 0xc000013a" },
  });
  assert.deepEqual(await says("", 1), { installed: false, running: false, pid: null, lastEnd: null });
});

Deno.test("a path that a definition cannot hold is refused", () => {
  for (const manager of [systemd, launchd, task]) {
    assert.throws(
      () => manager.definition({ command: ["/bin/x", "a\nb"], home: HOME }),
      (error) => error instanceof MirrorError && error.code === "bad_folder" && /"a\\nb"/.test(error.message),
    );
  }
  for (const half of ["\ud83d", "\ude00"]) {
    for (const manager of [launchd, task]) {
      assert.throws(() => manager.definition({ command: ["/bin/x", half], home: HOME }), /cannot hold/);
    }
  }
});

Deno.test("systemd: a manager that does not answer is told, with what to do instead", async () => {
  const silent = () =>
    Promise.resolve({ code: 1, out: "", err: "Failed to connect to bus: No medium found\n" });
  await assert.rejects(
    systemd.state(silent),
    /does not answer \(Failed to connect to bus.*enable-linger.*mirrorsync run/,
  );
});

Deno.test("a step that the one before may be in the way of is tried again; others that fail are named", async () => {
  const said: string[] = [];
  let failures = 1;
  const run = (command: readonly string[]) => {
    said.push(command.join(" "));
    const code = command[0] === "bootstrap" && failures-- > 0 ? 5 : command[0] === "broken" ? 1 : 0;
    return Promise.resolve({ code, out: "", err: "first line\nno such thing\n" });
  };
  await carryOut([{ kind: "run", command: ["bootstrap"], mayFail: false, againMs: 10_000 }], run);
  assert.deepEqual(said, ["bootstrap", "bootstrap"]);
  await assert.rejects(
    carryOut([
      { kind: "run", command: ["broken"], mayFail: true },
      { kind: "run", command: ["broken", "x"], mayFail: false },
      { kind: "run", command: ["never"], mayFail: false },
    ], run),
    /^MirrorError: broken x failed with 1: no such thing$/,
  );
  assert.deepEqual(said.slice(2), ["broken", "broken x"]);
});
