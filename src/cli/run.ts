import { parseArgs } from "node:util";
import { type Config, loadConfig } from "../config/config.ts";
import { environment, readDotenv } from "../config/environment.ts";
import type { SettingName } from "../config/settings.ts";
import { StartupError } from "../errors/startup.ts";
import { batched, createLog } from "../log.ts";
import { name as program } from "../version.ts";
import { accountCommand } from "./account.ts";
import { auditCommand } from "./audit.ts";
import type { Command, Flag, Invocation, Terminal } from "./command.ts";
import { configCommand } from "./config.ts";
import { doctorCommand } from "./doctor.ts";
import { keyCommand } from "./key.ts";
import { leaseCommand } from "./lease.ts";
import { migrateCommand } from "./migrate.ts";
import { priceCommand } from "./price.ts";
import { secretCommand } from "./secret.ts";
import { serveCommand } from "./serve.ts";
import { versionCommand } from "./version.ts";

const commands: readonly Command[] = [
  serveCommand,
  migrateCommand,
  accountCommand,
  keyCommand,
  priceCommand,
  leaseCommand,
  secretCommand,
  auditCommand,
  doctorCommand,
  configCommand,
  versionCommand,
];

const usageError = (message: string, command?: Command) =>
  new StartupError(`${message}\n\n${command ? commandHelp(command) : help()}`, { exitCode: 2 });

/** Runs one command line; returns the exit code. Never throws: what a person can mend is one line on stderr. */
export async function runCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return await dispatch(args, terminal);
  } catch (error) {
    if (!(error instanceof StartupError)) throw error;
    terminal.stderr(`${program}: ${error.message}\n`);
    return error.exitCode;
  }
}

async function dispatch([name, ...rest]: readonly string[], terminal: Terminal): Promise<number> {
  if (name === undefined) throw usageError("a command is needed");
  if (name === "help" || name === "--help" || name === "-h") {
    const about = commands.find((command) => command.name === rest[0]);
    if (rest[0] !== undefined && !about) throw usageError(`there is no command '${rest[0]}'`);
    terminal.stdout(about ? commandHelp(about) : help());
    return 0;
  }
  const wanted = name === "--version" || name === "-v" ? "version" : name;
  const command = commands.find((each) => each.name === wanted);
  if (!command) throw usageError(`there is no command '${name}'`);

  const { values, positionals } = parse(command, rest);
  if (values.help) {
    terminal.stdout(commandHelp(command));
    return 0;
  }
  checkPlaces(command, values, positionals[0]);
  let config: Config | undefined;
  const readConfig = () => {
    config ??= loadConfig({
      flags: settingFlags(command, values),
      environment: environment(),
      dotenv: readDotenv(),
      dev: values.dev === true,
      terminal: terminal.terminal,
    });
    return config;
  };
  return command.run({
    ...terminal,
    operands: positionals,
    flags: values,
    config: readConfig,
    log: () => createLog({ ...readConfig().log, write: batched(terminal.stderr) }),
  });
}

function parse(command: Command, args: string[]) {
  const flags = Object.entries({ ...command.flags, help: { type: "boolean" as const } });
  try {
    return parseArgs({
      args,
      allowPositionals: command.usage !== undefined,
      options: Object.fromEntries(
        flags.map(([name, { type }]) => [name, name === "help" ? { type, short: "h" } : { type }]),
      ),
    });
  } catch (error) {
    throw usageError((error instanceof Error ? error.message : String(error)).split(". ")[0] ?? "", command);
  }
}

/** A subcommand without its operands. */
const actionOf = (usage: string): string => usage.split(" ")[0] ?? "";

/** @throws {StartupError} a flag of another subcommand. */
function checkPlaces(command: Command, values: Invocation["flags"], action: string | undefined): void {
  for (const [flag, { only }] of Object.entries(command.flags ?? {})) {
    const actions = only?.map(actionOf);
    if (values[flag] === undefined || !actions || actions.includes(action ?? "")) continue;
    throw new StartupError(
      `--${flag} goes with ${actions.join(" and ")}; see '${program} ${command.name} --help'`,
      { exitCode: 2 },
    );
  }
}

const settingFlags = (command: Command, values: Invocation["flags"]): Partial<Record<SettingName, string>> =>
  Object.fromEntries(
    Object.entries(command.flags ?? {}).flatMap(([name, { setting }]) =>
      setting !== undefined && typeof values[name] === "string" ? [[setting, values[name]]] : [],
    ),
  );

const usageOf = ({ name, usage = [""], flags = {} }: Command): string[] => {
  return usage.map((operands) => {
    const marks = Object.entries(flags)
      .filter(([, { only }]) => only === undefined || only.includes(operands))
      .map(([flag, { value, required }]) => {
        const text = `--${flag}${value ? ` ${value}` : ""}`;
        return required ? text : `[${text}]`;
      });
    return [program, name, operands, ...marks].filter(Boolean).join(" ");
  });
};

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join("");
}

/** The list of commands. */
function help(): string {
  const rows = commands.map((command) => [command.name, command.summary] as const);
  return `usage: ${program} COMMAND [flags]\n\n${columns([...rows, ["help", "this text; 'help COMMAND' or 'COMMAND --help' for one command"]])}`;
}

/** Usage and flags of one command. */
function commandHelp(command: Command): string {
  const [first, ...others] = usageOf(command);
  const usage = [`usage: ${first}`, ...others.map((line) => `       ${line}`)].join("\n");
  const flags = Object.entries({ ...command.flags, help: { type: "boolean", help: "this text" } as Flag });
  const rows = flags.map(
    ([flag, { value, help }]) => [`--${flag}${value ? ` ${value}` : ""}`, help] as const,
  );
  return `${usage}\n\n${command.summary}\n\n${columns(rows)}`;
}
