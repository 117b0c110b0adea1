import type { Principal } from "../auth/principal.ts";
import { systemClock } from "../clock.ts";
import { StartupError } from "../errors/startup.ts";
import { isUuid, type Uuid } from "../id.ts";
import { type AppKey, type AppKeyService, createAppKeyService } from "../services/app-key.ts";
import { commandActor, withInstallation } from "./attach.ts";
import { type Command, dataDirFlag, type Invocation } from "./command.ts";

const badUsage = (message: string) =>
  new StartupError(`${message}; see 'llmops key --help'`, { exitCode: 2 });

/** Whoever may run commands on the installation's own machine may do everything; nobody is logged in. */
const operator = (): Principal => ({
  accountId: "00000000-0000-0000-0000-000000000000",
  role: "owner",
  seesAll: true,
  sessionId: undefined,
  actor: commandActor(),
});

function idOf({ flags }: Invocation, flag: "app" | "key"): Uuid {
  const id = flags[flag];
  if (typeof id !== "string" || !isUuid(id)) throw badUsage(`--${flag} takes an id`);
  return id;
}

/** Longest name of a key, in code points, as the API has it. */
const nameMax = 255;

function nameOf({ flags: { name } }: Invocation): { name?: string } {
  if (typeof name !== "string") return {};
  if ([...name].length > nameMax) throw badUsage(`--name takes at most ${nameMax} characters`);
  return { name };
}

/** What `list` says of a key. */
const stateOf = ({ revoked_at, expires_at }: AppKey): string =>
  revoked_at ? "revoked" : expires_at && expires_at <= systemClock.now() ? "expired" : "good";

const withKeys = <T>(invocation: Invocation, work: (keys: AppKeyService) => Promise<T>): Promise<T> =>
  withInstallation(invocation, ({ sql, keyring, audit }) => {
    const hash = (secret: string) => keyring.hash(secret, "app_key");
    return work(createAppKeyService({ sql, clock: systemClock, hash, audit }));
  });

/** `llmops key create | revoke | list` */
export const keyCommand: Command = {
  name: "key",
  usage: ["create", "revoke", "list"],
  summary: "make, revoke or list app keys; a key is shown once",
  flags: {
    app: { type: "string", value: "ID", required: true, help: "the app's id" },
    key: {
      type: "string",
      value: "ID",
      only: ["revoke"],
      required: true,
      help: "the key's id, as list shows it",
    },
    name: { type: "string", value: "N", only: ["create"], help: "what the key is for" },
    ...dataDirFlag,
  },
  async run(invocation) {
    const { operands, stdout } = invocation;
    const [action, ...more] = operands;
    if (more.length > 0) throw badUsage("there are too many words");
    if (action === "create") {
      const [appId, fields] = [idOf(invocation, "app"), nameOf(invocation)];
      const { text } = await withKeys(invocation, (keys) => keys.create(operator(), appId, fields));
      stdout(`${text}\n`);
      return 0;
    }
    if (action === "revoke") {
      const [appId, keyId] = [idOf(invocation, "app"), idOf(invocation, "key")];
      await withKeys(invocation, (keys) => keys.revoke(operator(), appId, keyId));
      stdout(`revoked  ${keyId}\n`);
      return 0;
    }
    if (action === "list") {
      const appId = idOf(invocation, "app");
      await withKeys(invocation, async (keys) => {
        let before: string | undefined;
        do {
          const page = await keys.list(operator(), appId, { ...(before && { before }), limit: 100 });
          for (const key of page.items) {
            const { id, public_id, name } = key;
            stdout(`${id}  ${public_id}  ${stateOf(key).padEnd(7)}  ${name}`.trimEnd().concat("\n"));
          }
          before = page.nextCursor ?? undefined;
        } while (before);
      });
      return 0;
    }
    throw badUsage("key takes one of create, revoke, list");
  },
};
