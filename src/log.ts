/** How much a line matters; a logger drops what is below its own level. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** Values that may stand beside a message. Name what you log: whole inputs and answers are never logged. */
export type LogFields = Record<string, string | number | boolean | null | undefined | readonly string[]>;

/** One line per call: a short message that never varies, and what varies as fields. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  /** `cause` is private: its message and stack go to the log and nowhere else. */
  error(message: string, fields?: LogFields, cause?: unknown): void;
}

export interface LogOptions {
  level: LogLevel;
  format: "json" | "pretty";
  /** Where finished lines go; standard error in the program, so that standard output stays a command's answer. */
  write: (lines: string) => void;
  now?: () => Date;
}

const rank: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };
const colour: Record<LogLevel, string> = {
  debug: "\x1b[90m",
  info: "\x1b[36m",
  warn: "\x1b[33m",
  error: "\x1b[31m",
};

/** An error and the chain of its causes as text, newest first: drivers hide the telling one a level down. */
export function errorChain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.name}: ${error.message}${error.cause === undefined ? "" : `; caused by ${errorChain(error.cause)}`}`;
}

function causeFields(cause: unknown): LogFields {
  const stack = cause instanceof Error ? cause.stack : undefined;
  return { error: errorChain(cause), ...(stack === undefined ? {} : { stack }) };
}

/** What JSON leaves as it is, and a terminal may take as an order, a line end, or a reason to turn text around. */
const unprintable = /[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const speltOut = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

const printed = (text: string): string => text.replace(unprintable, speltOut);

/** A stack below its line, indented, so that no text of an error's message looks like a line of its own. */
const printedStack = (stack: string): string =>
  stack
    .split("\n")
    .map((line) => `\n    ${printed(JSON.stringify(line).slice(1, -1))}`)
    .join("");

/**
 * Creates a logger. Each line is one JSON object (or one coloured line in `pretty`), so that text from outside
 * cannot forge a second line: JSON escapes line ends, and `pretty` prints every field through JSON as well.
 */
export function createLog({ level, format, write, now = () => new Date() }: LogOptions): Log {
  const emit = (at: LogLevel, message: string, fields: LogFields) => {
    if (rank[at] < rank[level]) return;
    const time = now().toISOString();
    if (format === "json")
      return write(`${printed(JSON.stringify({ time, level: at, message, ...fields }))}\n`);
    const rest = Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) =>
        name === "stack" ? printedStack(String(value)) : `${name}=${printed(JSON.stringify(value))}`,
      )
      .join(" ");
    write(
      `\x1b[90m${time.slice(11, 19)}\x1b[0m ${colour[at]}${at.padEnd(5)}\x1b[0m ${message} \x1b[90m${rest}\x1b[0m\n`,
    );
  };
  return {
    debug: (message, fields = {}) => emit("debug", message, fields),
    info: (message, fields = {}) => emit("info", message, fields),
    warn: (message, fields = {}) => emit("warn", message, fields),
    error: (message, fields = {}, cause) =>
      emit("error", message, cause === undefined ? fields : { ...fields, ...causeFields(cause) }),
  };
}

/** How long lines are gathered, in milliseconds: short enough to follow by eye, long enough for one write in a hundred. */
const gatherMs = 20;

/**
 * Gathers lines and writes them together: under load one write then carries many. What is gathered when the process
 * exits is written first; a `kill -9` costs at most the last 20 ms' lines.
 */
export function batched(write: (lines: string) => void): (lines: string) => void {
  let lines = "";
  const flush = () => {
    if (lines === "") return;
    const batch = lines;
    lines = "";
    write(batch);
  };
  process.on("exit", flush);
  return (line) => {
    if (lines === "") setTimeout(flush, gatherMs);
    lines += line;
  };
}

/** A logger that says nothing: for tests and for commands whose answer is the output. */
export const silentLog: Log = createLog({ level: "error", format: "json", write: () => {} });
