import assert from "node:assert/strict";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import { checkNewPassword, Passwords } from "../../src/auth/passwords.ts";

/** As little work as scrypt can be: for tests only. */
const CHEAP = { logN: 4, r: 1, p: 1 };

Deno.test("passwords: what is kept is scrypt with OWASP's parameters and a salt of its own", async () => {
  const hash = await new Passwords().hash("correct horse");
  assert.match(hash, /^\$scrypt\$ln=17,r=8,p=1\$[\w+/=]{24}\$[\w+/=]{44}$/);
});

Deno.test("passwords: only the right one is right", async () => {
  const passwords = new Passwords(CHEAP);
  const [one, two] = await Promise.all([passwords.hash("correct horse"), passwords.hash("correct horse")]);
  assert.notEqual(one, two, "two users with one password must not show it");
  assert.equal(await passwords.verify("correct horse", one), true);
  for (const wrong of ["", "correct hors", "correct horse ", "Correct horse"]) {
    assert.equal(await passwords.verify(wrong, one), false, JSON.stringify(wrong));
  }
  assert.equal(await passwords.verify("correct horse", null), false, "nobody has a password");
});

Deno.test("passwords: one that was typed on another system is the same", async () => {
  const passwords = new Passwords(CHEAP);
  assert.equal(await passwords.verify("cafe\u0301 au lait", await passwords.hash("café au lait")), true);
});

Deno.test("passwords: a hash of other parameters still counts, and is known to be old", async () => {
  const old = await new Passwords(CHEAP).hash("correct horse");
  const passwords = new Passwords({ ...CHEAP, r: 2 });
  assert.equal(await passwords.verify("correct horse", old), true);
  assert.deepEqual([passwords.isCurrent(old), passwords.isCurrent(await passwords.hash("x"))], [false, true]);
});

Deno.test("passwords: a damaged hash is an error, not a wrong password", async () => {
  await assert.rejects(
    new Passwords(CHEAP).verify("correct horse", "$scrypt$ln=17"),
    (error) => error instanceof MirrorError && error.code === "damaged_database",
  );
});

Deno.test("passwords: what nobody should use is refused", () => {
  for (const bad of ["", "short", "1234567", "x".repeat(1025), "Administrator", "correct\0horse"]) {
    assert.throws(
      () => checkNewPassword(bad, "administrator"),
      (error) => error instanceof MirrorError && error.code === "wrong_usage",
    );
  }
  checkNewPassword("pässwörd", "anna"); // 8 characters, more bytes
});
