import assert from "node:assert/strict";
import { cliDocument } from "../../scripts/cli_document.ts";
import { ROOT } from "../helpers/program.ts";

Deno.test("docs/CLI.md is what the program says of itself; if not, run  deno task docs", async () => {
  assert.equal(await Deno.readTextFile(`${ROOT}/docs/CLI.md`), cliDocument());
});
