/** The process that reads hostile inputs; `deno task fuzz` (scripts/fuzz.ts) starts it and watches over it. */
import { serve } from "./serve.ts";
import { allTargets } from "./targets.ts";

await serve(allTargets);
