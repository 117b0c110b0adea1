/**
 * A JSON text as PostgreSQL can take it apart: NUL and halves of surrogate pairs, which it can keep in no text, become U+FFFD.
 * `text` is as `JSON.stringify` writes it, which spells out nothing else in this way.
 */
export const storableJson = (text: string): string =>
  // One sign is found several times as fast as two.
  text.includes("\\") && (text.includes("\\u0000") || text.includes("\\ud"))
    ? text.replace(/\\(u0000|ud[89a-f][0-9a-f]{2}|.)/g, (all, escaped: string) =>
        escaped.length > 1 ? "\\ufffd" : all,
      )
    : text;

/** Somebody else's word as PostgreSQL can keep it; at most `max` characters. */
export const storableText = (text: string, max = 255): string =>
  text.slice(0, max).toWellFormed().replaceAll("\0", "\ufffd");
