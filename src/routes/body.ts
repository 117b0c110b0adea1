import { TooLargeError, ValidateError } from "../errors/app-error.ts";
import type { MessageKey, MessageParams } from "../i18n/messages.ts";

/** Largest body of a management call, in bytes. */
export const bodyBytesMax = 1024 * 1024;

/** Deepest nesting of a body: far beyond any contract, and far below what makes a checker slow or overflow. */
export const bodyDepthMax = 32;

const refuse = (key: MessageKey, params?: MessageParams) =>
  new ValidateError({ body: [{ key, ...(params && { params }) }] });

/** Text that PostgreSQL cannot store, or that is not text at all. */
export const isText = (value: string): boolean => !value.includes("\0") && value.isWellFormed();

/**
 * The JSON object in a request's body; `{}` where there is no body. Reads no more than the limit, whatever the
 * headers promise.
 * @throws {ValidateError} naming `body`: too large, compressed, not declared as JSON, not JSON, nested too deeply, not
 * an object.
 */
export async function readJson(request: Request, limit = bodyBytesMax): Promise<object> {
  const tooLarge = () => refuse("validate.too_large", { max: limit });
  const encoding = request.headers.get("content-encoding");
  if (encoding && encoding.toLowerCase() !== "identity") throw refuse("validate.content_encoding");
  if (Number(request.headers.get("content-length") ?? 0) > limit) throw tooLarge();
  const bytes = await readUpTo(request, limit, tooLarge);
  if (bytes.length === 0) return {};
  const type = request.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/json" && !type?.endsWith("+json")) throw refuse("validate.content_type");
  if (depthOf(bytes) > bodyDepthMax) throw refuse("validate.too_deep", { max: bodyDepthMax });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw refuse("validate.json");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw refuse("validate.object");
  // Whoever copies the object, as Elysia does to fill in defaults, would make this field its prototype, unchecked.
  if (Object.hasOwn(value, "__proto__"))
    throw new ValidateError({ ["__proto__"]: [{ key: "validate.unknown" }] });
  return value;
}

const textTooLarge = (limit: number) => new TooLargeError("validate.too_large", { params: { max: limit } });

/**
 * The text of a request's body, whatever it is declared as.
 * @throws {TooLargeError} longer than `limit` bytes. @throws {ValidateError} compressed. At once, where the head says so.
 */
export function readText(request: Request, limit: number): Promise<string> {
  const { headers } = request;
  const encoding = headers.get("content-encoding");
  if (encoding && encoding.toLowerCase() !== "identity") throw refuse("validate.content_encoding");
  const length = headers.get("content-length");
  if (Number(length ?? 0) > limit) throw textTooLarge(limit);
  // What the server has measured itself comes in one go, and costs a third.
  return length !== null ? request.text() : readPieces(request, limit);
}

async function readPieces(request: Request, limit: number): Promise<string> {
  return new TextDecoder().decode(await readUpTo(request, limit, () => textTooLarge(limit)));
}

async function readUpTo(request: Request, limit: number, tooLarge: () => Error): Promise<Uint8Array> {
  if (!request.body) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body) {
    length += chunk.length;
    if (length > limit) throw tooLarge();
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
}

/**
 * How deep the brackets of a JSON text nest, from its bytes: no byte of a longer UTF-8 sequence looks like one of
 * these. What is no JSON gets some number.
 */
function depthOf(bytes: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (quoted) {
      if (byte === 0x5c /* \ */) i++;
      else if (byte === 0x22 /* " */) quoted = false;
    } else if (byte === 0x22) quoted = true;
    else if (byte === 0x7b /* { */ || byte === 0x5b /* [ */) deepest = Math.max(deepest, ++depth);
    else if (byte === 0x7d /* } */ || byte === 0x5d /* ] */) depth--;
  }
  return deepest;
}
