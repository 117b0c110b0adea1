import type { Db } from "./db.ts";

/** What stands between the values of a line of PostgreSQL's text format for `copy`, and what for `null`. */
export const copyTab = "\t";
export const copyNull = "\\N";

const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** A text that may hold anything, in that format. */
export function copyText(text: string | null | undefined): string {
  if (text === null || text === undefined) return copyNull;
  return /[\\\n\r\t]/.test(text) ? text.replace(/[\\\n\r\t]/g, (one) => escapes[one] as string) : text;
}

/** Sends lines to a `copy … from stdin`. @throws what the database says of the rows. */
export async function copyIn(statement: ReturnType<Db>, lines: readonly string[]): Promise<void> {
  const stream = await (statement as unknown as { writable(): Promise<NodeJS.WritableStream> }).writable();
  await new Promise<void>((resolve, reject) => {
    stream.once("error", reject);
    stream.once("finish", resolve);
    stream.end(bytesOf(lines));
  });
}

/** Lines with their ends in UTF-8: one after the other, since a text of them all would be put together and read again. */
function bytesOf(lines: readonly string[]): Uint8Array {
  // No character takes more than three bytes.
  const bytes = Buffer.allocUnsafe(lines.reduce((total, line) => total + line.length * 3 + 1, 0));
  let at = 0;
  for (const line of lines) {
    at += bytes.write(line, at);
    bytes[at++] = 0x0a;
  }
  return bytes.subarray(0, at);
}
