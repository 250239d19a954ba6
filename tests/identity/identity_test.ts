import assert from "node:assert/strict";
import { join } from "node:path";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import {
  ensureIdentity,
  ensureNextIdentity,
  loadIdentity,
  loadNextIdentity,
} from "../../src/identity/identity.ts";
import { IdentityKeeper } from "../../src/identity/identity_keeper.ts";

const unix = Deno.build.os !== "windows";

async function withHome(test: (home: string) => Promise<void>): Promise<void> {
  const parent = await Deno.makeTempDir({ prefix: "mirrorsync identity " });
  try {
    await test(join(parent, "home"));
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}

/** Every file of a folder with its content, to show that nothing was lost. */
async function contents(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const entry of Deno.readDir(folder)) {
    found[entry.name] = await Deno.readTextFile(join(folder, entry.name));
  }
  return found;
}

async function refuses(home: string, ...words: string[]): Promise<void> {
  const before = await contents(home);
  for (const attempt of [() => loadIdentity(home), () => ensureIdentity(home, "again")]) {
    await assert.rejects(attempt, (error) => {
      assert(error instanceof MirrorError, String(error));
      assert.equal(error.code, "bad_certificate");
      for (const word of words) {
        assert(error.message.includes(word), `${word} is missing in: ${error.message}`);
      }
      return true;
    });
  }
  assert.deepEqual(await contents(home), before);
}

Deno.test("an identity is made once and then stays", async () => {
  await withHome(async (home) => {
    assert.equal(await loadIdentity(home), null);
    const made = await ensureIdentity(home, "laptop");
    assert.equal(made.name, "laptop");
    assert.match(made.fingerprint, /^[0-9a-f]{64}$/);
    const files = await contents(home);
    assert.deepEqual(Object.keys(files).sort(), ["cert.pem", "key.pem"]);
    assert.equal(files["cert.pem"], made.certificatePem);
    assert.equal(files["key.pem"], made.keyPem);
    assert.deepEqual(await ensureIdentity(home, "another name"), made);
    assert.deepEqual(await loadIdentity(home), made);
    assert.deepEqual(await contents(home), files);
    if (unix) {
      for (const name of ["key.pem", "cert.pem"]) {
        assert.equal((await Deno.stat(join(home, name))).mode! & 0o777, 0o600);
      }
      assert.equal((await Deno.stat(home)).mode! & 0o777, 0o700);
    }
  });
});

Deno.test("an impossible name makes no files", async () => {
  await withHome(async (home) => {
    await assert.rejects(
      ensureIdentity(home, ""),
      (error) => error instanceof MirrorError && error.code === "wrong_usage",
    );
    await assert.rejects(Deno.stat(home), Deno.errors.NotFound);
  });
});

Deno.test("a home with half an identity is refused and left as it is", async (t) => {
  await t.step("no certificate", () =>
    withHome(async (home) => {
      await ensureIdentity(home, "a");
      await Deno.remove(join(home, "cert.pem"));
      await refuses(home, join(home, "cert.pem"), "backup");
    }));
  await t.step("no key", () =>
    withHome(async (home) => {
      await ensureIdentity(home, "a");
      await Deno.remove(join(home, "key.pem"));
      await refuses(home, join(home, "key.pem"), "backup");
    }));
});

Deno.test("files that are damaged or do not belong together are refused and left as they are", async (t) => {
  await t.step("key of another", () =>
    withHome(async (home) => {
      await ensureIdentity(home, "a");
      await ensureIdentity(join(home, "other"), "a");
      await Deno.copyFile(join(home, "other", "key.pem"), join(home, "key.pem"));
      await Deno.remove(join(home, "other"), { recursive: true });
      await refuses(home, "do not belong together", "key.pem", "cert.pem");
    }));
  for (
    const damage of ["", "not a key", `-----BEGIN ${"PRIVATE"} KEY-----\nAAAA\n-----END PRIVATE KEY-----\n`]
  ) {
    await t.step(`key is ${JSON.stringify(damage)}`, () =>
      withHome(async (home) => {
        await ensureIdentity(home, "a");
        await Deno.writeTextFile(join(home, "key.pem"), damage);
        await refuses(home, join(home, "key.pem"), "damaged");
      }));
  }
  await t.step("certificate cut off", () =>
    withHome(async (home) => {
      const { certificatePem } = await ensureIdentity(home, "a");
      await Deno.writeTextFile(join(home, "cert.pem"), certificatePem.slice(0, 200));
      await refuses(home, join(home, "cert.pem"), "cut off");
    }));
});

Deno.test({
  name: "a key that others can read is refused with the command that mends it",
  ignore: !unix,
  fn: async () => {
    await withHome(async (home) => {
      const made = await ensureIdentity(home, "a");
      const key = join(home, "key.pem");
      for (const mode of [0o640, 0o604, 0o660, 0o644]) {
        await Deno.chmod(key, mode);
        await refuses(home, `chmod 600 '${key}'`, `0${mode.toString(8)}`.slice(1));
      }
      await Deno.chmod(key, 0o400);
      assert.deepEqual(await loadIdentity(home), made);
    });
  },
});

Deno.test("an identity that is there is not replaced by a process that comes in the same moment", async () => {
  await withHome(async (home) => {
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => ensureIdentity(home, `p${i}`)),
    );
    const made = results.filter((result) => result.status === "fulfilled");
    assert(made.length >= 1);
    const kept = await loadIdentity(home);
    for (const { value } of made) assert.deepEqual(value, kept);
    for (const result of results) {
      if (result.status === "rejected") assert(result.reason instanceof MirrorError, String(result.reason));
    }
    assert.deepEqual(Object.keys(await contents(home)).sort(), ["cert.pem", "key.pem"]);
  });
});

Deno.test("the next identity is made once, and takes the present one's place as a whole", async () => {
  await withHome(async (home) => {
    const present = await ensureIdentity(home, "anna");
    assert.equal(await loadNextIdentity(home), null);
    const next = await ensureNextIdentity(home, "anna");
    assert.notEqual(next.fingerprint, present.fingerprint);
    assert.deepEqual(await ensureNextIdentity(home, "anna"), next);
    assert.deepEqual(await loadNextIdentity(home), next);
    assert.deepEqual(await loadIdentity(home), present, "it is not the present one yet");
    if (unix) assert.equal((await Deno.stat(join(home, "next.pem"))).mode! & 0o777, 0o600);

    // Cut off between the two files: it counts from then on, for whoever reads, and is finished by whoever opens.
    await Deno.writeTextFile(join(home, "key.pem"), next.keyPem);
    assert.deepEqual(await loadIdentity(home), next);
    await Deno.writeTextFile(join(home, "key.pem.1234.new"), "left by a crash");
    const keeper = await IdentityKeeper.open(home);
    assert.deepEqual(keeper.current, next);
    assert.deepEqual(Object.keys(await contents(home)).sort(), ["cert.pem", "key.pem"]);
    assert.deepEqual(await loadIdentity(home), next);

    const later = await keeper.makeNext(Date.now());
    await keeper.take(later);
    assert.deepEqual([keeper.current, await loadIdentity(home)], [later, later]);
    assert.equal(await keeper.next(), null);
  });
});

Deno.test("a next identity that a wrong clock has made is made anew; one that others can read is refused", async () => {
  await withHome(async (home) => {
    await ensureIdentity(home, "anna");
    const early = await ensureNextIdentity(home, "anna", Date.now() + 10 * 366 * 86_400_000);
    const next = await ensureNextIdentity(home, "anna");
    assert.notEqual(next.fingerprint, early.fingerprint);
    if (!unix) return;
    await Deno.chmod(join(home, "next.pem"), 0o644);
    await assert.rejects(ensureNextIdentity(home, "anna"), /next\.pem.*chmod 600/);
    await Deno.writeTextFile(join(home, "next.pem"), "garbage");
    await Deno.chmod(join(home, "next.pem"), 0o600);
    await assert.rejects(ensureNextIdentity(home, "anna"), /next\.pem is not a certificate/);
  });
});

Deno.test("a certificate is due for renewal in the last third of its life", async () => {
  await withHome(async (home) => {
    const nowMs = Date.now();
    await ensureIdentity(home, "anna");
    const keeper = await IdentityKeeper.open(home);
    const yearMs = 365.25 * 86_400_000;
    assert.deepEqual([0, 13, 14, 19.9].map((years) => keeper.isDueForRenewal(nowMs + years * yearMs)), [
      ...[false, false, true, true],
    ]);
  });
});
