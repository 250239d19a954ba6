import assert from "node:assert/strict";
import { codeOf, isPermanentRefusal, messageOf, MirrorError } from "../../src/domain/mirror_error.ts";

Deno.test("an unknown code is not permanent: the peer may be newer, and trying again loses nothing", () => {
  for (const code of ["", "failed", "no_space", "constructor", "BAD_PATH"]) {
    assert.equal(isPermanentRefusal(code), false);
  }
  assert.equal(isPermanentRefusal("bad_path"), true);
});

Deno.test("code and message of anything that was thrown", () => {
  assert.equal(codeOf(new MirrorError("no_space", "full"), "failed"), "no_space");
  assert.equal(codeOf(new Error("x"), "failed"), "failed");
  assert.equal(codeOf(null, "io_error"), "io_error");
  assert.equal(messageOf(new Error("x")), "x");
  assert.equal(messageOf("y"), "y");
  assert.equal(messageOf(undefined), "undefined");
});
