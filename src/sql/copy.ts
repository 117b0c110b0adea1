import type { Db } from "./db.ts";

/** A value of PostgreSQL's text format for `copy`: `null` is `\N`, objects and lists are JSON. */
function copyField(value: unknown): string {
  if (value === null || value === undefined) return "\\N";
  if (typeof value === "number") return String(value);
  if (typeof value === "boolean") return value ? "t" : "f";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /[\\\n\r\t]/.test(text) ? text.replace(/[\\\n\r\t]/g, (one) => escapes[one] as string) : text;
}

const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** A line for `copy … from stdin`, with its end. */
export function copyLine(values: readonly unknown[]): string {
  let line = copyField(values[0]);
  for (let at = 1; at < values.length; at++) line += `\t${copyField(values[at])}`;
  return `${line}\n`;
}

/** Sends `text` to a `copy … from stdin`. @throws what the database says of the rows. */
export async function copyIn(statement: ReturnType<Db>, text: string): Promise<void> {
  const stream = await (statement as unknown as { writable(): Promise<NodeJS.WritableStream> }).writable();
  await new Promise<void>((resolve, reject) => {
    stream.once("error", reject);
    stream.once("finish", resolve);
    stream.end(text);
  });
}
