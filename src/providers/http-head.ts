import { UpstreamError } from "../errors/app-error.ts";
import type { AnswerHead } from "./exchange.ts";

/** How long a body is, and where it ends. */
export type Framing = { kind: "length"; bytes: number } | { kind: "chunked" } | { kind: "close" };

/** The head of an answer, with what it says of the connection. */
export interface Head extends AnswerHead {
  readonly framing: Framing;
  /** The connection may serve another request once the body has ended. */
  readonly reusable: boolean;
  /** How long the other side keeps an idle connection, in milliseconds, where it says so. */
  readonly idleMs: number | undefined;
}

/** Longest head, in bytes, and most header fields: an answer of a model has some twenty short ones. */
export const headBytesMax = 64 * 1024;
const fieldsMax = 256;

/** What breaks the rules of HTTP. */
export const malformed = (what: string) => new UpstreamError("malformed", { cause: new Error(what) });

const statusLine = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
/** RFC 9110, section 5.6.2. */
const token = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/;
/** Neither a control character nor an end of line. */
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Whether a header may be sent as it is: nothing in it ends the line, or the head. */
export const isField = (name: string, value: string): boolean => token.test(name) && fieldValue.test(value);

interface Told {
  length: string | undefined;
  encoding: string | undefined;
  connection: string;
  keepAlive: string | undefined;
}

/** Notes what a field says of the message itself. @throws {UpstreamError} two lengths that differ. */
function note(told: Told, name: string, value: string): void {
  // Few fields matter; their length tells the others apart.
  if (name.length < 10 || name.length > 17) return;
  switch (name.toLowerCase()) {
    case "content-length":
      if (told.length !== undefined && told.length !== value) throw malformed("two lengths");
      told.length = value;
      break;
    case "transfer-encoding":
      told.encoding = told.encoding === undefined ? value : `${told.encoding},${value}`;
      break;
    case "content-encoding":
      // It was not asked for, and is not understood.
      if (value.toLowerCase() !== "identity") throw malformed("a body that is compressed");
      break;
    case "connection":
      told.connection += `,${value.toLowerCase()}`;
      break;
    case "keep-alive":
      told.keepAlive = value;
      break;
  }
}

function framingOf({ length, encoding }: Told, status: number): Framing {
  if (status === 204 || status === 304) return { kind: "length", bytes: 0 };
  if (encoding !== undefined) {
    if (encoding.toLowerCase() !== "chunked") throw malformed("an unknown transfer encoding");
    return { kind: "chunked" };
  }
  if (length === undefined) return { kind: "close" };
  if (!/^\d{1,15}$/.test(length)) throw malformed("a length that is no number");
  return { kind: "length", bytes: Number(length) };
}

/**
 * Reads a head (RFC 9112), `text` being its bytes as Latin-1 without the empty line at its end.
 * @throws {UpstreamError} `malformed`: no HTTP/1, a field that is none, or lengths that contradict each other.
 */
export function parseHead(text: string): Head {
  const lines = text.split("\r\n");
  const [, minor, code] = statusLine.exec(lines[0] ?? "") ?? [];
  if (code === undefined) throw malformed("no status line");
  if (lines.length > fieldsMax + 1) throw malformed("too many headers");
  const fields: [string, string][] = [];
  const told: Told = { length: undefined, encoding: undefined, connection: "", keepAlive: undefined };
  for (let at = 1; at < lines.length; at++) {
    const line = lines[at] as string;
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    const value = line.slice(colon + 1).trim();
    if (!isField(name, value)) throw malformed("a header that is none");
    fields.push([name, value]);
    note(told, name, value);
  }
  const status = Number(code);
  const framing = framingOf(told, status);
  // Both together are how requests are smuggled: nothing that follows is to be trusted (RFC 9112, section 6.3).
  const ambiguous = told.encoding !== undefined && told.length !== undefined;
  const closes = minor === "0" ? !told.connection.includes("keep-alive") : told.connection.includes("close");
  const seconds = /(?:^|[,\s])timeout=(\d{1,6})/i.exec(told.keepAlive ?? "")?.[1];
  let headers: Headers | undefined;
  return {
    status,
    // Most answers are used without a look at their headers.
    get headers() {
      headers ??= new Headers(fields);
      return headers;
    },
    length: framing.kind === "length" ? framing.bytes : undefined,
    framing,
    reusable: !closes && !ambiguous && framing.kind !== "close",
    idleMs: seconds === undefined ? undefined : Number(seconds) * 1000,
  };
}
