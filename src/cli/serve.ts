import type { Config } from "../config/config.ts";
import { type Context, createContext } from "../context.ts";
import { checkAddress, startServer } from "../server.ts";
import { name as program, version } from "../version.ts";
import { type Command, dataDirFlag } from "./command.ts";

function banner(url: string, config: Config, { echoes, setupUrl }: Context): string {
  const lines = [`${program} ${version} listens on ${url}`, `API documentation: ${url}/swagger`];
  if (config.dev) lines.push("development: no login is needed; no proxy belongs in front of it");
  if (echoes) lines.push("no OPEN_API_KEY is set: answers come from the offline 'echo' model");
  if (setupUrl) {
    // With --port 0 only the server knows where it listens.
    const link = config.publicUrl ? setupUrl : setupUrl.replace(/^http:\/\/[^/]+/, url);
    lines.push(`there is no account yet; make the first owner within 30 minutes at ${link}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. */
function stopRequested(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked = false;
    const ask = (signal: NodeJS.Signals) => {
      if (asked) process.exit(1);
      asked = true;
      resolve(signal);
    };
    process.on("SIGTERM", ask);
    process.on("SIGINT", ask);
  });
}

/** `llmops serve` */
export const serveCommand: Command = {
  name: "serve",
  summary: "apply pending migrations, then serve until told to stop (SIGTERM or Ctrl-C)",
  flags: {
    host: {
      type: "string",
      value: "H",
      help: "address to listen on (HOST, default 127.0.0.1)",
      setting: "HOST",
    },
    port: { type: "string", value: "P", help: "port to listen on (PORT, default 5000)", setting: "PORT" },
    ...dataDirFlag,
    dev: {
      type: "boolean",
      help: "development: loopback only, no login, answers offline where no key is set",
    },
  },
  async run({ config: read, log: createLog, stderr }) {
    const config = read();
    const log = createLog();
    const stop = stopRequested();
    await checkAddress(config);
    await using context = await createContext(config, log);
    const server = startServer(context.app, { ...config, drain: context.drain, log });
    stderr(banner(server.url, config, context));
    process.on("unhandledRejection", (error) => {
      log.error("something failed that nobody waited for", {}, error);
    });
    log.info("stopping", { signal: await stop });
    await server.stop();
    return 0;
  },
};
