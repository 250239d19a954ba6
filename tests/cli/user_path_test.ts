import assert from "node:assert/strict";
import { userPath } from "../../src/cli/user_path.ts";

Deno.test("a path that a user writes: ~ is their own folder, all else is relative to where they are", () => {
  const at = (path: string, env: Record<string, string> = { HOME: "/home/anna" }) =>
    userPath({ path, base: "/here", env: (name) => env[name], os: "linux" });
  assert.equal(at("~"), "/home/anna");
  assert.equal(at("~/a/b"), "/home/anna/a/b");
  assert.equal(at("a/~"), "/here/a/~");
  assert.equal(at("./~"), "/here/~");
  assert.equal(at("~bert"), "/here/~bert");
  assert.equal(at("/abs"), "/abs");
  assert.equal(at("../up"), "/up");
  assert.equal(at("~/a", {}), "/here/~/a", "where the system does not say which folder that is");
  const windows = (path: string) =>
    userPath({ path, base: "C:\\work", env: () => "C:\\Users\\anna", os: "windows" });
  assert.equal(windows("~\\a"), "C:\\Users\\anna\\a");
  assert.equal(windows("~/a"), "C:\\Users\\anna\\a");
  assert.equal(windows("a"), "C:\\work\\a");
});
