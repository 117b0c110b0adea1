/**
 * The program cannot start, or a command cannot do its work, for a reason that the person at the terminal can mend.
 * `message` is one line that says what is wrong and what to do; it is printed without a stack and ends the process.
 */
export class StartupError extends Error {
  override readonly name = "StartupError";
  /** Process exit code: 1 for a failure, 2 for a command line that cannot be understood. */
  readonly exitCode: 1 | 2;

  constructor(message: string, { exitCode = 1, cause }: { exitCode?: 1 | 2; cause?: unknown } = {}) {
    super(message, { cause });
    this.exitCode = exitCode;
  }
}
