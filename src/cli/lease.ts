import { StartupError } from "../errors/startup.ts";
import { isUuid } from "../id.ts";
import { createLeaseService, type HeldLease, type Spent } from "../services/lease.ts";
import { commandActor, withInstallation } from "./attach.ts";
import { type Command, dataDirFlag, type Invocation } from "./command.ts";

const badUsage = (message: string) =>
  new StartupError(`${message}; see 'llmops lease --help'`, { exitCode: 2 });

/** A lease in one line. */
function lineOf({
  holder_id,
  name,
  expires_at,
  unknown,
  budget,
  end_user,
  amount,
  currency,
}: HeldLease): string {
  const since = expires_at?.toISOString() ?? "long ago";
  const who = end_user === "" ? "" : ` of user ${JSON.stringify(end_user)}`;
  const state = unknown ? `unknown since ${since}` : "in use";
  return `${holder_id}  ${amount} ${currency} of budget ${JSON.stringify(budget)}${who}, ${name ?? "?"}, ${state}\n`;
}

function spentOf({ flags }: Invocation): Spent {
  const text = String(flags.spent ?? "all");
  if (text === "all" || text === "none") return text;
  if (!/^\d{1,12}(\.\d{1,12})?$/.test(text))
    throw badUsage("--spent takes all, none, or an amount such as 1.25");
  return { amount: text };
}

/** `llmops lease list | settle` */
export const leaseCommand: Command = {
  name: "lease",
  usage: ["list", "settle ID"],
  summary:
    "list what processes hold of budgets, or write off what one held that is gone with its data folder",
  flags: {
    spent: {
      type: "string",
      value: "S",
      only: ["settle ID"],
      help: "how much of it counts as spent: all (without it), none, or an amount of each of its leases",
    },
    ...dataDirFlag,
  },
  async run(invocation) {
    const [action, id, ...more] = invocation.operands;
    const { stdout } = invocation;
    if (action === "list" && id === undefined) {
      await withInstallation(invocation, async ({ sql, audit }) => {
        const leases = await createLeaseService({ sql, audit }).list();
        stdout(leases.length === 0 ? "no process holds anything of a budget\n" : leases.map(lineOf).join(""));
      });
      return 0;
    }
    if (action !== "settle" || more.length > 0) throw badUsage("lease takes one of list, settle ID");
    if (id === undefined || !isUuid(id))
      throw badUsage("lease settle needs the id that 'llmops lease list' shows");
    const spent = spentOf(invocation);
    await withInstallation(invocation, async ({ sql, audit }) => {
      const settled = await createLeaseService({ sql, audit }).settle(
        commandActor(),
        id.toLowerCase(),
        spent,
      );
      for (const { amount, currency, budget } of settled) {
        const said = typeof spent === "string" ? spent : `${spent.amount} ${currency}`;
        stdout(
          `${amount} ${currency} of budget ${JSON.stringify(budget)} written off, ${said} of it as spent\n`,
        );
      }
    });
    return 0;
  },
};
