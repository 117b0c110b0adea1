import { systemClock } from "../clock.ts";
import { StartupError } from "../errors/startup.ts";
import { openKeyring } from "../keyring/keyring.ts";
import { rotateSecret } from "../keyring/rotate.ts";
import { silentLog } from "../log.ts";
import { createAuditService } from "../services/audit.ts";
import { attach, commandActor } from "./attach.ts";
import { type Command, dataDirFlag } from "./command.ts";

/** `llmops secret rotate` */
export const secretCommand: Command = {
  name: "secret",
  usage: ["rotate"],
  summary:
    "put a new secret in the place of the present one; nothing that it protects changes, nobody is logged out",
  flags: dataDirFlag,
  async run({ operands, config: read, log: createLog, stdout }) {
    if (operands.length !== 1 || operands[0] !== "rotate") {
      throw new StartupError("secret takes rotate; see 'llmops secret --help'", { exitCode: 2 });
    }
    const config = read();
    await using attached = await attach(config, createLog());
    const { sql } = attached;
    const secret = { ...config.secret, dataDir: config.dataDir };
    // Silent: what it would say is what is being done here.
    const keyring = await openKeyring({ sql, secret, clock: systemClock, log: silentLog });
    const audit = createAuditService({ sql, clock: systemClock, keyring });
    const { rewrapped, source } = await rotateSecret({
      sql,
      secret,
      record: (tx) =>
        audit.record(tx, {
          actor: commandActor(),
          action: "secret.rotate",
          subjectKind: "secret",
          subjectId: null,
          before: null,
          after: { source: config.secret.key === undefined ? "file" : "setting" },
        }),
    });
    const kept = "file" in source ? source.file : source.setting;
    stdout(`the data keys are wrapped by the secret in ${kept}${rewrapped === 0 ? " already" : ""}\n`);
    if (rewrapped > 0) stdout("backups made before now open with the secret before it: make a new one\n");
    if ("setting" in source) stdout("once every instance has it, LLMOPS_SECRET_KEY_PREVIOUS can go\n");
    return 0;
  },
};
