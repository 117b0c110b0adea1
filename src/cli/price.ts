import { StartupError } from "../errors/startup.ts";
import type { Price } from "../gateway/target.ts";
import { shipped } from "../metering/prices.ts";
import { createRegistry, type Registry } from "../services/registry.ts";
import { type Repricing, reprice } from "../services/reprice.ts";
import { type Installation, withInstallation } from "./attach.ts";
import { type Command, dataDirFlag, type Invocation } from "./command.ts";

const badUsage = (message: string) =>
  new StartupError(`${message}; see 'llmops price --help'`, { exitCode: 2 });

/** The models as a service would know them, read once. */
const registryOf = ({ config, log }: Invocation, { sql, keyring }: Installation): Registry =>
  createRegistry({
    sql,
    keyring,
    changes: { cache: (load) => ({ get: async (id) => (await load(id))?.value }) },
    general: config().provider,
    guard: (service) => service,
    log: log(),
  });

/** A price in one line. */
function lineOf(
  name: string,
  { currency, prompt, cached, cacheWrite, cacheWriteLong, completion, reasoning, ...rest }: Price,
): string {
  const kinds = [prompt, cached, cacheWrite, cacheWriteLong, completion, reasoning];
  const amounts = kinds.map((each) => each ?? "-");
  const above = rest.abovePromptTokens === 0 ? "" : `  above ${rest.abovePromptTokens} prompt tokens`;
  const from = rest.validFrom.toISOString().slice(0, 10);
  return `${name.padEnd(32)} ${currency}  ${amounts.map((each) => each.padStart(7)).join(" ")}  ${from}${above}  ${rest.source}\n`;
}

const heading = `${"model".padEnd(32)} per million: prompt, cached, cache write, the longer one, completion, reasoning; valid from; source\n`;

async function list(invocation: Invocation): Promise<void> {
  const { flags, stdout } = invocation;
  const wanted = (name: string) => flags.model === undefined || flags.model === name;
  await withInstallation(invocation, async (installation) => {
    const routes = await registryOf(invocation, installation).all();
    stdout(heading);
    for (const [name, { targets }] of [...routes].filter(([each]) => wanted(each))) {
      for (const { target } of targets) {
        if (target.prices.length === 0) stdout(`${name.padEnd(32)} unpriced\n`);
        for (const price of target.prices) stdout(lineOf(name, price));
      }
    }
    stdout("\nshipped with this program, for models without prices of their own\n");
    for (const { hosts, model, price } of shipped.filter(({ model: each }) => wanted(each))) {
      stdout(lineOf(`${model} (${hosts[0]})`, price));
    }
  });
}

/** A day or a moment. */
function timeOf({ flags }: Invocation, flag: "from" | "to"): Date | undefined {
  const text = flags[flag];
  if (text === undefined) return undefined;
  const time = new Date(String(text));
  if (Number.isNaN(time.getTime())) throw badUsage(`--${flag} takes a day such as 2026-11-24`);
  return time;
}

const totals = (amounts: Repricing["before"]): string =>
  [...amounts]
    .map(([currency, amount]) => (currency === "unpriced" ? currency : `${amount} ${currency}`))
    .join(", ") || "0";

async function priceAnew(invocation: Invocation): Promise<void> {
  const from = timeOf(invocation, "from");
  if (!from) throw badUsage("reprice needs --from");
  const to = timeOf(invocation, "to") ?? new Date(Date.now() + 60_000);
  const { flags, stdout, stderr } = invocation;
  const dryRun = flags["dry-run"] === true;
  const result = await withInstallation(invocation, (installation) =>
    reprice(
      { sql: installation.sql, registry: registryOf(invocation, installation) },
      { from, to, dryRun, progress: (calls) => process.stderr.isTTY && stderr(`\r${calls} calls`) },
    ),
  );
  stdout(`${result.calls} calls, ${result.changed} ${dryRun ? "would change" : "changed"}\n`);
  stdout(`before  ${totals(result.before)}\nafter   ${totals(result.after)}\n`);
}

/** `llmops price list | reprice` */
export const priceCommand: Command = {
  name: "price",
  usage: ["list", "reprice"],
  summary: "list prices, or price past calls anew by the versions that were valid then",
  flags: {
    model: { type: "string", value: "NAME", only: ["list"], help: "this model only" },
    from: {
      type: "string",
      value: "D",
      only: ["reprice"],
      required: true,
      help: "calls from this day on, such as 2026-11-24",
    },
    to: { type: "string", value: "D", only: ["reprice"], help: "calls before this day; now without it" },
    "dry-run": { type: "boolean", only: ["reprice"], help: "change nothing, only tell what would" },
    ...dataDirFlag,
  },
  async run(invocation) {
    const [action, ...more] = invocation.operands;
    if (more.length > 0) throw badUsage("there are too many words");
    if (action === "list") await list(invocation);
    else if (action === "reprice") await priceAnew(invocation);
    else throw badUsage("price takes one of list, reprice");
    return 0;
  },
};
