import { createInterface } from "node:readline/promises";
import { createPasswords } from "../auth/password.ts";
import { type Role, roles } from "../auth/principal.ts";
import { systemClock } from "../clock.ts";
import { StartupError } from "../errors/startup.ts";
import { type AccountService, createAccountService } from "../services/account.ts";
import { commandActor, withInstallation } from "./attach.ts";
import { type Command, dataDirFlag, type Invocation } from "./command.ts";

const badUsage = (message: string) =>
  new StartupError(`${message}; see 'llmops account --help'`, { exitCode: 2 });

/** Shortest and longest password, in code points, as the API has them. */
const lengths = { min: 8, max: 256 };

/**
 * The first line of standard input; on a terminal it is asked for, and not shown while it is typed.
 * @throws {StartupError} Ctrl-C, or not a password that may be set.
 */
async function readPassword({ stderr }: Invocation, email: string): Promise<string> {
  const onTerminal = process.stdin.isTTY === true;
  // On a terminal readline echoes what is typed by writing to its output; there is none.
  const lines = createInterface({ input: process.stdin, terminal: onTerminal });
  const cancelled = Promise.withResolvers<never>();
  lines.once("SIGINT", () => cancelled.reject(new StartupError("cancelled")));
  if (onTerminal) stderr("Password: ");
  let line: string;
  try {
    const first = lines[Symbol.asyncIterator]().next();
    line = (await Promise.race([first, cancelled.promise])).value ?? "";
  } finally {
    lines.close();
    if (onTerminal) stderr("\n");
  }
  const length = [...line].length;
  if (length < lengths.min || length > lengths.max) {
    throw new StartupError(
      `a password has ${lengths.min} to ${lengths.max} characters, on the first line of standard input`,
    );
  }
  if (line.toLowerCase() === email.toLowerCase()) {
    throw new StartupError("the password must not be the e-mail address");
  }
  return line;
}

function emailOf({ flags: { email } }: Invocation): string {
  if (typeof email !== "string" || !/^[^\s@]{1,64}@[^\s@]{1,189}$/.test(email))
    throw badUsage("--email takes an e-mail address");
  return email;
}

function roleOf({ flags: { role = "owner" } }: Invocation): Role {
  const known = roles.find((each) => each === role);
  if (!known) throw badUsage(`--role takes one of ${roles.join(", ")}`);
  return known;
}

const withAccounts = <T>(
  invocation: Invocation,
  work: (accounts: AccountService) => Promise<T>,
): Promise<T> =>
  withInstallation(invocation, ({ sql, keyring, audit }) => {
    const hash = (token: string) => keyring.hash(token, "setup_token");
    return work(createAccountService({ sql, clock: systemClock, passwords: createPasswords(), hash, audit }));
  });

/** `llmops account create | reset-password | list` */
export const accountCommand: Command = {
  name: "account",
  usage: ["create", "reset-password", "list"],
  summary: "make, list or mend accounts; a password is read from the terminal or from standard input",
  flags: {
    email: {
      type: "string",
      value: "E",
      only: ["create", "reset-password"],
      required: true,
      help: "with create and reset-password: whose",
    },
    role: { type: "string", value: "R", only: ["create"], help: "owner (default), admin, editor or viewer" },
    ...dataDirFlag,
  },
  async run(invocation) {
    const { operands, stdout } = invocation;
    const [action, ...more] = operands;
    if (more.length > 0) throw badUsage("there are too many words");
    if (action === "list") {
      await withAccounts(invocation, async (accounts) => {
        let before: string | undefined;
        do {
          const page = await accounts.list({ ...(before && { before }), limit: 100 });
          for (const { email, role, status } of page.items)
            stdout(`${role.padEnd(6)}  ${email}${status && `  ${status}`}\n`);
          before = page.nextCursor ?? undefined;
        } while (before);
      });
      return 0;
    }
    if (action === "create") {
      const fields = { email: emailOf(invocation), role: roleOf(invocation) };
      const password = await readPassword(invocation, fields.email);
      const account = await withAccounts(invocation, (accounts) =>
        accounts.createByCommand({ ...fields, password }, commandActor()),
      );
      stdout(`created  ${account.role}  ${account.email}\n`);
      return 0;
    }
    if (action === "reset-password") {
      const email = emailOf(invocation);
      const password = await readPassword(invocation, email);
      await withAccounts(invocation, (accounts) =>
        accounts.resetPassword({ email, password }, commandActor()),
      );
      stdout(`the password of ${email.toLowerCase()} is set, and all their sessions have ended\n`);
      return 0;
    }
    throw badUsage("account takes one of create, reset-password, list");
  },
};
