import { openDatabase } from "../database/database.ts";
import { createMigrations, type Migration, newMigration } from "../database/migrations.ts";
import { StartupError } from "../errors/startup.ts";
import { type Command, dataDirFlag, type Invocation } from "./command.ts";

const badUsage = (message: string) =>
  new StartupError(`${message}; see 'llmops migrate --help'`, { exitCode: 2 });

const line = ({ name, appliedAt }: Migration): string =>
  `${appliedAt ? appliedAt.toISOString() : "pending".padEnd(24)}  ${name}\n`;

function stepsOf({ flags: { steps = "1" } }: Invocation): number {
  if (typeof steps !== "string" || !/^[1-9]\d{0,4}$/.test(steps))
    throw badUsage("--steps takes a whole number from 1");
  return Number(steps);
}

/** `llmops migrate up | down | status | history | new` */
export const migrateCommand: Command = {
  name: "migrate",
  usage: ["up", "down", "status", "history", "new NAME"],
  summary: "apply, revert, list or write database migrations",
  flags: {
    steps: { type: "string", value: "N", only: ["down"], help: "with down: how many to revert (default 1)" },
    ...dataDirFlag,
  },
  async run(invocation) {
    const { operands, stdout, config, log } = invocation;
    const [action, name, ...more] = operands;
    if (!action || !["up", "down", "status", "history", "new"].includes(action)) {
      throw badUsage("migrate takes one of up, down, status, history, new");
    }
    if (more.length > 0 || (action !== "new" && name !== undefined))
      throw badUsage("there are too many words");
    if (action === "new") {
      if (!name) throw badUsage("new needs a NAME, such as create-app");
      stdout(`${await newMigration(name, process.cwd())}\n`);
      return 0;
    }

    const steps = stepsOf(invocation);
    await using database = await openDatabase(config(), { role: "attach", log: log() });
    const migrations = createMigrations({ url: database.url, log: log() });
    if (action === "up" || action === "down") {
      const names = action === "up" ? await migrations.up() : await migrations.down(steps);
      for (const each of names) stdout(`${action === "up" ? "applied" : "reverted"}  ${each}\n`);
      if (names.length === 0) stdout(action === "up" ? "nothing to apply\n" : "nothing to revert\n");
      return 0;
    }
    const { known, unknown } = await migrations.list();
    if (action === "history") {
      for (const each of [...known, ...unknown].filter(({ appliedAt }) => appliedAt)) stdout(line(each));
      return 0;
    }
    for (const each of known) stdout(line(each));
    for (const each of unknown) stdout(`${line(each).trimEnd()}  (not known to this program)\n`);
    return unknown.length > 0 ? 1 : 0;
  },
};
