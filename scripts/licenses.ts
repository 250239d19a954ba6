/** `deno task licenses [FILE]`: the licences of everything that is in a build of the program, as text, to FILE or stdout. */
import { licenseTexts } from "./compile/licenses.ts";
import { moduleGraph } from "./support/module_graph.ts";

const text = licenseTexts((await moduleGraph(["main.ts"])).packages);
const file = Deno.args[0];
if (file === undefined) console.log(text.trimEnd());
else Deno.writeTextFileSync(file, text);
