import { fileURLToPath } from "node:url";

/** The checkout's top folder, wherever the script was started from. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
