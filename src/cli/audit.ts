import { StartupError } from "../errors/startup.ts";
import type { AuditFault } from "../services/audit.ts";
import { withInstallation } from "./attach.ts";
import { type Command, dataDirFlag } from "./command.ts";

const faults: Record<AuditFault, string> = {
  missing: "is missing",
  unlinked: "does not follow on the one before, which was replaced, or their order was changed",
  altered: "is not what was written",
  truncated: "and what may come after it were removed from the end",
  unaccounted: "was added after the end, not by llmops",
  forged: "is not an authentic end of the log: the log was written anew, or put together from parts",
};

/** `llmops audit verify` */
export const auditCommand: Command = {
  name: "audit",
  usage: ["verify"],
  summary: "check that no entry of the audit log was altered, removed or added",
  flags: dataDirFlag,
  async run(invocation) {
    const { operands, stdout, stderr, terminal } = invocation;
    if (operands.length !== 1 || operands[0] !== "verify") {
      throw new StartupError("audit takes verify; see 'llmops audit --help'", { exitCode: 2 });
    }
    const { count, hash, broken } = await withInstallation(invocation, ({ audit }) =>
      audit.verify((done) => {
        if (terminal) stderr(`\r${done} entries`);
      }),
    );
    if (terminal && count > 0) stderr("\n");
    if (broken) {
      stdout(`broken: entry ${broken.seq} ${faults[broken.fault]}; ${count} entries before it are good\n`);
      return 1;
    }
    stdout(`good: ${count} entries, the last with hash ${hash}\n`);
    return 0;
  },
};
