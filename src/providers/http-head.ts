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

const statusLine = /^HTTP\/1\.[01] [1-5]\d\d(?: [\t\x20-\x7e\x80-\xff]*)?$/;
/** RFC 9110, section 5.6.2. */
const token = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/;
/** Neither a control character nor an end of line. */
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/;

/** What a character of a field's line may be, by its code in Latin-1; `around` is what may surround a value. */
const inName = 1;
const inValue = 2;
const around = 4;
const kinds = Uint8Array.from({ length: 256 }, (_, code) => {
  const character = String.fromCharCode(code);
  const value = fieldValue.test(character) ? inValue : 0;
  return value | (token.test(character) ? inName : 0) | (character.trim() === "" ? around : 0);
});

/** The first place from `at` on, `end` at the latest, where a character is not of that kind. */
function skip(text: string, at: number, end: number, kind: number): number {
  while (at < end && ((kinds[text.charCodeAt(at)] as number) & kind) !== 0) at++;
  return at;
}

/** Whether a header may be sent as it is: nothing in it ends the line, or the head. */
export const isField = (name: string, value: string): boolean => token.test(name) && fieldValue.test(value);

interface Told {
  type: string | undefined;
  length: string | undefined;
  encoding: string | undefined;
  connection: string;
  keepAlive: string | undefined;
}

/** Whether the name of a field that {@link note} knows has this length. */
const mayTell = (length: number) =>
  length === 10 || length === 12 || length === 14 || length === 16 || length === 17;

/** Notes what a field says of the message itself. @throws {UpstreamError} two lengths that differ. */
function note(told: Told, name: string, value: string): void {
  switch (name.toLowerCase()) {
    case "content-type":
      told.type = told.type === undefined ? value : `${told.type}, ${value}`;
      break;
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

/** How long the other side keeps an idle connection, in milliseconds. */
function idleMsOf({ keepAlive }: Told): number | undefined {
  const seconds = keepAlive && /(?:^|[,\s])timeout=(\d{1,6})/i.exec(keepAlive)?.[1];
  return seconds ? Number(seconds) * 1000 : undefined;
}

/** A line's name and value. */
function fieldOf(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1).trim()];
}

/** A head of which every line has been checked. */
class CheckedHead implements Head {
  readonly status: number;
  readonly contentType: string;
  readonly framing: Framing;
  readonly length: number | undefined;
  readonly reusable: boolean;
  readonly idleMs: number | undefined;
  readonly #text: string;
  #headers: Headers | undefined;

  constructor(text: string, told: Told) {
    this.#text = text;
    this.status = Number(text.slice(9, 12));
    this.contentType = told.type ?? "";
    const framing = framingOf(told, this.status);
    this.framing = framing;
    this.length = framing.kind === "length" ? framing.bytes : undefined;
    // Both together are how requests are smuggled: nothing that follows is to be trusted (RFC 9112, section 6.3).
    const ambiguous = told.encoding !== undefined && told.length !== undefined;
    const isOld = text.startsWith("HTTP/1.0");
    const closes = isOld ? !told.connection.includes("keep-alive") : told.connection.includes("close");
    this.reusable = !closes && !ambiguous && framing.kind !== "close";
    this.idleMs = idleMsOf(told);
  }

  /** Most answers are used without a look at their headers. */
  get headers(): Headers {
    this.#headers ??= new Headers(this.#text.split("\r\n").slice(1).map(fieldOf));
    return this.#headers;
  }
}

/** Where the line that holds `at` ends. */
function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\r\n", at);
  return end === -1 ? text.length : end;
}

/**
 * Reads a head (RFC 9112), `text` being its bytes as Latin-1 without the empty line at its end.
 * @throws {UpstreamError} `malformed`: no HTTP/1, a field that is none, or lengths that contradict each other.
 */
export function parseHead(text: string): Head {
  let end = lineEnd(text, 0);
  if (!statusLine.test(text.slice(0, end))) throw malformed("no status line");
  const told: Told = {
    type: undefined,
    length: undefined,
    encoding: undefined,
    connection: "",
    keepAlive: undefined,
  };
  for (let fields = 1; end < text.length; fields++) {
    if (fields > fieldsMax) throw malformed("too many headers");
    const start = end + 2;
    end = lineEnd(text, start);
    const colon = skip(text, start, end, inName);
    const value = skip(text, colon + 1, end, around);
    const after = skip(text, skip(text, value, end, inValue), end, around);
    if (colon === start || text[colon] !== ":" || after !== end) throw malformed("a header that is none");
    if (mayTell(colon - start)) note(told, text.slice(start, colon), text.slice(value, end).trim());
  }
  return new CheckedHead(text, told);
}
