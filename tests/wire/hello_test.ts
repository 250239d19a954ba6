import assert from "node:assert/strict";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import { EXTENSIONS, type Hello, helloFields, parseHello, PROTOCOL_VERSION } from "../../src/wire/hello.ts";
import { frameVector } from "./vectors.ts";

const HELLO: Hello = {
  version: PROTOCOL_VERSION,
  extensions: new Set(EXTENSIONS),
  name: "anna",
  process: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
  folding: { case: false, unicode: false },
  windowBytes: 8_388_608,
};

Deno.test("the hello and the answer of the document are written and read", () => {
  const { id, action, ...fields } = frameVector("hello").header;
  assert.equal(typeof id, "string");
  assert.equal(action, "hello");
  assert.equal(JSON.stringify(helloFields(HELLO)), JSON.stringify(fields));
  assert.deepEqual(parseHello(frameVector("hello").header), HELLO);
  assert.deepEqual(parseHello(frameVector("hello-answer").header), {
    ...HELLO,
    name: "bert",
    process: "16fd2706-8baf-433b-82eb-8c7fada847da",
    folding: { case: true, unicode: false },
  });
});

Deno.test("unknown extensions, fields and later versions do no harm; extensions that are missing are missing", () => {
  const fields = helloFields(HELLO) as Record<string, unknown>;
  const hello = parseHello({
    ...fields,
    version: 7,
    extensions: ["chunks", "tree", "tree", "PIECES"],
    colour: "blue",
    folds: { case: true, unicode: true, width: true },
  });
  assert.equal(hello.version, 7);
  assert.deepEqual([...hello.extensions], ["tree"]);
  assert.deepEqual(hello.folding, { case: true, unicode: true });
  assert.deepEqual([...parseHello({ ...fields, extensions: [] }).extensions], []);
});

Deno.test("every field that is missing or wrong is named", () => {
  const wrong: Record<string, unknown[]> = {
    version: [0, -1, 1.5, "1", null, [], true],
    extensions: ["tree", {}, [1], [null], null, 1],
    name: [1, null, [], "x".repeat(257)],
    process: ["", 1, null, "x".repeat(257)],
    folds: [null, 1, "case", {}, [], { case: true }, { unicode: true }, { case: 1, unicode: true }, {
      case: true,
      unicode: "no",
    }],
    window: [0, -1, 1024 * 1024 - 1, 2 ** 53, 1048576.5, "8388608", null],
  };
  const fields = helloFields(HELLO) as Record<string, unknown>;
  assert.deepEqual(Object.keys(fields).sort(), Object.keys(wrong).sort());
  for (const [field, values] of Object.entries(wrong)) {
    const { [field]: _, ...without } = fields;
    for (const header of [without, ...values.map((value) => ({ ...fields, [field]: value }))]) {
      assert.throws(
        () => parseHello(header),
        (error) =>
          error instanceof MirrorError && error.code === "bad_hello" && error.message.includes(`"${field}"`),
        `${field}: ${JSON.stringify(header)}`,
      );
    }
  }
});

Deno.test("the smallest window is 1 MiB", () => {
  assert.equal(parseHello({ ...helloFields(HELLO), window: 1024 * 1024 }).windowBytes, 1024 * 1024);
});
