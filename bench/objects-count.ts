/**
 * Loaded into the service by `objects.ts`, before anything else: at a signal it writes how many objects there are of each kind
 * into the file that OBJECTS_FILE names, at SIGUSR2 after a collection. Until the next one that is all that were made.
 */
import { heapStats } from "bun:jsc";
import { writeFileSync } from "node:fs";

const count = () =>
  writeFileSync(process.env.OBJECTS_FILE ?? "", JSON.stringify(heapStats().objectTypeCounts));

process.on("SIGUSR2", () => {
  Bun.gc(true);
  count();
});
process.on("SIGUSR1", count);
