import assert from "node:assert/strict";
import { Pair } from "./pair.ts";

Deno.test("trash: a file that was deleted or replaced and comes back is not sent again, small or large", async () => {
  await using pair = await Pair.make();
  const { anna } = pair;
  const contents = [30_000, 700_000].map((size) => {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
    return bytes;
  });
  const put = async (i: number, content: Uint8Array) => await Deno.writeFile(`${anna.watched}/${i}`, content);
  for (const [i, content] of contents.entries()) await put(i, content);
  await pair.start();
  await pair.mirrored();
  for (const i of contents.keys()) await put(i, new TextEncoder().encode("something else"));
  await pair.mirrored();
  for (const i of contents.keys()) await Deno.remove(`${anna.watched}/${i}`);
  await pair.mirrored();
  for (const [i, content] of contents.entries()) await put(i, content);
  await pair.mirrored();
  anna.command((store) => {
    for (const i of contents.keys()) {
      const [last] = store.log.newest(1, String(i));
      assert.equal(last!.action, "create");
      assert.ok(last!.wireBytes < 1000, `${last!.wireBytes} bytes were sent of what is in the trash there`);
    }
  });
});
