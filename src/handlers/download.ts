/** A table for spreadsheets, or one JSON object per line. */
export type ExportFormat = "csv" | "jsonl";

/**
 * A value as a cell (RFC 4180). What a spreadsheet would take for a formula gets an apostrophe in front: the values are other
 * people's words.
 */
function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  const plain = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

const types = { csv: "text/csv; charset=utf-8", jsonl: "application/x-ndjson; charset=utf-8" } as const;

/**
 * Rows as a file, written as it is read: a caller that stops reading holds back the source. An error on the way ends the
 * connection, so that half a file does not look like a whole one.
 */
export function download(
  pages: AsyncIterator<readonly object[]>,
  { format, name, columns }: { format: ExportFormat; name: string; columns: readonly string[] },
): Response {
  const encoder = new TextEncoder();
  const lineOf = (row: object) => {
    if (format === "jsonl") return `${JSON.stringify(row)}\n`;
    const values = row as Readonly<Record<string, unknown>>;
    return `${columns.map((column) => cell(values[column])).join(",")}\r\n`;
  };
  let head = format === "csv" ? `${columns.join(",")}\r\n` : "";
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        // Whoever asked is not asked again before there is something: a page without rows is none.
        for (;;) {
          const { done, value } = await pages.next();
          const text = head + (done ? "" : value.map(lineOf).join(""));
          head = "";
          if (text !== "") controller.enqueue(encoder.encode(text));
          if (done) return controller.close();
          if (text !== "") return;
        }
      },
      async cancel() {
        await pages.return?.();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, {
    headers: {
      "content-type": types[format],
      "content-disposition": `attachment; filename="${name}.${format}"`,
      "cache-control": "no-store",
    },
  });
}
