/**
 * `deno task sbom [FILE]`: what a build of the program is made of, as CycloneDX 1.6 JSON, to FILE or stdout: the packages that
 * `main.ts` leads to with their licences and the checksums of `deno.lock`, and the runtime. The same source gives the same bytes.
 */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import manifest from "../deno.json" with { type: "json" };
import { moduleGraph } from "./support/module_graph.ts";
import { ROOT } from "./support/root.ts";

const lock: { readonly npm: Readonly<Record<string, { readonly integrity?: string }>> } = JSON.parse(
  Deno.readTextFileSync(join(ROOT, "deno.lock")),
);

function purl(name: string, version: string): string {
  return `pkg:npm/${name.replace(/^@/, "%40")}@${version}`;
}

/** `sha512-BASE64`, as the lock file has it, as CycloneDX has it. */
function hashes(integrity: string | undefined) {
  const match = /^(sha\d+)-(.+)$/.exec(integrity ?? "");
  if (match === null) return [];
  return [{
    alg: match[1]!.toUpperCase().replace("SHA", "SHA-"),
    content: Buffer.from(match[2]!, "base64").toString("hex"),
  }];
}

const { packages } = await moduleGraph(["main.ts"]);
const components = packages.map(({ name, version, localPath }) => {
  if (localPath === undefined) throw new Error(`${name}@${version} is not here: run  deno install  first`);
  const { license }: { license?: string } = JSON.parse(
    Deno.readTextFileSync(join(localPath, "package.json")),
  );
  const id = `${name}@${version}`;
  return {
    type: "library",
    "bom-ref": purl(name, version),
    name,
    version,
    purl: purl(name, version),
    ...license !== undefined && { licenses: [{ license: { id: license } }] },
    // A package with peers has them in its key in the lock file.
    hashes: hashes(
      Object.entries(lock.npm).find(([key]) => key === id || key.startsWith(`${id}_`))?.[1].integrity,
    ),
  };
});
const runtime = {
  type: "platform",
  "bom-ref": `pkg:github/denoland/deno@v${Deno.version.deno}`,
  name: "deno",
  version: Deno.version.deno,
  purl: `pkg:github/denoland/deno@v${Deno.version.deno}`,
  licenses: [{ license: { id: "MIT" } }],
};
const ref = `mirrorsync@${manifest.version}`;
const sbom = JSON.stringify(
  {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      component: {
        type: "application",
        "bom-ref": ref,
        name: "mirrorsync",
        version: manifest.version,
        licenses: [{ license: { id: manifest.license } }],
      },
    },
    components: [...components, runtime],
    dependencies: [{ ref, dependsOn: [...components, runtime].map((component) => component["bom-ref"]) }],
  },
  null,
  2,
) + "\n";
const file = Deno.args[0];
if (file === undefined) console.log(sbom.trimEnd());
else Deno.writeTextFileSync(file, sbom);
