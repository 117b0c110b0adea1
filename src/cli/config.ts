import type { Origin } from "../config/config.ts";
import { type Setting, type SettingName, settings } from "../config/settings.ts";
import { type Command, dataDirFlag } from "./command.ts";

const fromText = ({ from, name }: Origin, setting: SettingName): string =>
  from === "flag" || name === setting ? from : `${from} (${name})`;

/** `llmops config`: a line per setting. */
export const configCommand: Command = {
  name: "config",
  summary: "print every setting, its value and where it came from; secrets are masked",
  flags: dataDirFlag,
  async run({ config, stdout }) {
    const { origins } = config();
    const rows = (Object.entries(settings) as [SettingName, Setting][]).map(([name, { secret }]) => {
      const { text } = origins[name];
      const value = text === undefined ? "-" : secret ? "***" : text;
      return [name, value, fromText(origins[name], name)] as const;
    });
    const width = (column: 0 | 1) => Math.max(...rows.map((row) => row[column].length));
    const [names, values] = [width(0), width(1)];
    for (const [name, value, from] of rows) {
      stdout(`${name.padEnd(names)}  ${value.padEnd(values)}  ${from}\n`);
    }
    return 0;
  },
};
