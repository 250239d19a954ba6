import assert from "node:assert/strict";
import { capture } from "./capture.ts";

/** Whether a shell is installed here. */
function has(shell: string): boolean {
  return new Deno.Command("sh", { args: ["-c", `command -v ${shell}`] }).outputSync().success;
}

async function scriptFor(shell: string): Promise<string> {
  const { status, out, err } = await capture(["completions", shell]);
  assert.equal(status, 0, err);
  return out;
}

/** What `shell` prints when it runs `script`. */
async function run(shell: string, args: string[], script: string, cwd: string): Promise<string[]> {
  const child = new Deno.Command(shell, { args, cwd, stdin: "piped", stdout: "piped", stderr: "piped" })
    .spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(script));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  assert.equal(new TextDecoder().decode(stderr), "");
  assert.equal(code, 0);
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "");
}

/** Asks a shell what it offers after some words. */
type Ask = (...words: string[]) => Promise<string[]>;

async function offersWhatThereIs(ask: Ask): Promise<void> {
  assert.deepEqual((await ask("pe")).sort(), ["peer", "pending"]);
  assert.deepEqual(await ask("peer", "ad"), ["add"]);
  assert.deepEqual(await ask("run", "--wat"), ["--watched"]);
  // The value of a flag is no command.
  assert.deepEqual(await ask("--home", "peer", "ini"), ["init"]);
  assert.deepEqual(await ask("--home", "x", "--js"), ["--json"]);
  assert.deepEqual((await ask("run", "--watched", "a")).map((path) => path.replace(/\/$/, "")), ["a folder"]);
  assert.deepEqual((await ask("completions", "")).sort(), ["bash", "fish", "powershell", "zsh"]);
  assert.deepEqual(await ask("help", "verif"), ["verify"]);
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/a folder`);
    await Deno.writeTextFile(`${folder}/a file`, "");
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name: "completions of bash: commands, flags, folders after --watched",
  ignore: !has("bash"),
  fn: () =>
    inFolder(async (folder) => {
      const script = await scriptFor("bash");
      await offersWhatThereIs((...words) => {
        const line = ["mirrorsync", ...words].map((word) => `'${word}'`).join(" ");
        const ask =
          `COMP_WORDS=(${line}); COMP_CWORD=${words.length}; _mirrorsync; printf '%s\\n' "\${COMPREPLY[@]}"`;
        return run("bash", ["--norc", "-s"], `${script}\n${ask}\n`, folder);
      });
    }),
});

Deno.test({
  name: "completions of fish: the same",
  ignore: !has("fish"),
  fn: () =>
    inFolder(async (folder) => {
      const script = await scriptFor("fish");
      await offersWhatThereIs(async (...words) => {
        const line = ["mirrorsync", ...words].join(" ");
        const found = await run(
          "fish",
          ["--no-config"],
          `${script}\ncomplete -C ${JSON.stringify(line)}\n`,
          folder,
        );
        return found.map((offer) => offer.split("\t")[0]!);
      });
    }),
});

Deno.test({
  name: "completions of zsh: the same",
  ignore: !has("zsh"),
  fn: () =>
    inFolder(async (folder) => {
      const script = await scriptFor("zsh");
      await offersWhatThereIs((...words) => {
        // What offers words needs a terminal; in its place stands what prints those that fit.
        const stand = `
compdef() { }
compadd() { [[ $1 == -- ]] && shift; print -l -- "\${(@M)@:#$words[CURRENT]*}"; }
_describe() { local w; for w in "\${(@P)2}"; do [[ $w == $words[CURRENT]* ]] && print -r -- "\${w%%:*}"; done; return 0; }
_files() { [[ $1 == -/ ]] && print -l -- $words[CURRENT]*(/N); return 0; }
`;
        const line = ["mirrorsync", ...words].map((word) => `'${word}'`).join(" ");
        const ask = `words=(${line}); CURRENT=${words.length + 1}; _mirrorsync`;
        return run("zsh", ["-f"], `${stand}\n${script}\n${ask}\n`, folder);
      });
    }),
});

Deno.test("completions of PowerShell list every command; another shell is wrong usage", async () => {
  const script = await scriptFor("powershell");
  for (
    const word of ["'peer add' = ", "'--watched'", "Register-ArgumentCompleter -Native", "@('fish', 'fish')"]
  ) {
    assert.ok(script.includes(word), word);
  }
  for (const [open, close] of ["{}", "()", "[]"]) {
    assert.equal(script.split(open!).length, script.split(close!).length, `${open}${close} in pairs`);
  }
  const { status, err } = await capture(["completions", "tcsh"]);
  assert.equal(status, 2);
  assert.match(err, /tcsh.*Allowed choices are bash, zsh, fish, powershell/);
});
