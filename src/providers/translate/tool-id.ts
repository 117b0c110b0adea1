/** What Anthropic's API takes for the id of a tool's call ("String should match pattern"). */
const accepted = /^[a-zA-Z0-9_-]+$/;

/** Begins an id that stands for another. */
const prefix = "llmops_";

/**
 * An id of a tool's call as Anthropic's dialect can say it: itself where it will do, else one that stands for it
 * (`functions.weather:0`, which Kimi makes, would be refused). Always the same for the same id, so that call and result
 * still match; anything but a text stays as it is.
 */
export const toMessagesToolId = (id: unknown): unknown =>
  typeof id !== "string" || accepted.test(id) ? id : prefix + Buffer.from(id).toString("base64url");

/** The id that {@link toMessagesToolId} stood for; any other is itself. Its maker knows its calls by its own ids. */
export function fromMessagesToolId(id: unknown): unknown {
  if (typeof id !== "string" || !id.startsWith(prefix)) return id;
  const original = Buffer.from(id.slice(prefix.length), "base64url").toString();
  return toMessagesToolId(original) === id ? original : id;
}
