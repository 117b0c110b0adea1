import { name, version } from "../version.ts";
import type { Command } from "./command.ts";

/** `llmops version` */
export const versionCommand: Command = {
  name: "version",
  summary: "print the version",
  async run({ stdout }) {
    stdout(`${name} ${version} (Bun ${Bun.version}, ${process.platform}-${process.arch})\n`);
    return 0;
  },
};
