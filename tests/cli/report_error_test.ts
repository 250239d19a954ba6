import assert from "node:assert/strict";
import { exitStatusOf } from "../../src/cli/exit_status.ts";
import { Output } from "../../src/cli/output.ts";
import { reportError } from "../../src/cli/report_error.ts";
import { MirrorError } from "../../src/domain/mirror_error.ts";

function report(error: unknown, flags: { json?: boolean; verbose?: boolean } = {}) {
  let out = "", err = "";
  const streams = {
    out: (text: string) => out += text,
    err: (text: string) => err += text,
    outIsTerminal: false,
    errIsTerminal: false,
    env: () => undefined,
  };
  const status = reportError(
    error,
    new Output(streams, { json: flags.json ?? false, quiet: true, verbose: flags.verbose ?? false }),
  );
  return { status, out, err };
}

Deno.test("an error's code decides the exit status", () => {
  const statuses = [
    ["wrong_usage", 2],
    ["no_such_peer", 4],
    ["not_trusted", 4],
    ["home_in_use", 5],
    ["bad_config", 1],
    ["bad_folder", 1],
    ["port_in_use", 1],
    ["failed", 1],
  ] as const;
  for (const [code, status] of statuses) assert.equal(exitStatusOf(code), status, code);
});

Deno.test("an error is one line on stderr, and with --json an object on stdout", () => {
  assert.deepEqual(report(new MirrorError("no_such_peer", "no peer a\nmirrorsync: all is well")), {
    status: 4,
    out: "",
    err: "mirrorsync: no peer a\\nmirrorsync: all is well\n",
  });
  const { out } = report(new MirrorError("home_in_use", "in use"), { json: true });
  assert.equal(out, '{"error":{"code":"home_in_use","message":"in use"}}\n');
});

Deno.test("an error that nobody foresaw is one line; with --verbose its stack", () => {
  const brief = report(new TypeError("x is odd"));
  assert.equal(brief.status, 1);
  assert.match(brief.err, /^mirrorsync: x is odd\nmirrorsync: this was not foreseen; .* --verbose/);
  assert.doesNotMatch(brief.err, /\s+at /);
  const long = report(new TypeError("x is odd", { cause: new Error("deep") }), { verbose: true });
  assert.match(long.err, /TypeError: x is odd\n\s+at .*[\s\S]*Error: deep\n\s+at /);
  assert.match(report("a text").err, /^mirrorsync: a text\n/);
  const caused = new MirrorError("failed", "top", { cause: new Error("below") });
  assert.doesNotMatch(report(caused).err, /below/);
  assert.match(report(caused, { verbose: true }).err, /Error: below\n\s+at /);
});
