import { ValidateError } from "../../errors/app-error.ts";
import { type Json, listOr, objectOr } from "../json.ts";

type Part = Record<string, unknown>;

const unsupported = (at: string) => new ValidateError({ [at]: [{ key: "validate.unsupported" }] });

const text = (value: unknown): Part => ({ type: "text", text: value });

const escaped = (value: unknown) =>
  String(value).replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

/** What is read within marks, as Anthropic's own guide to prompts has it: this dialect has no documents of text. */
function marked(attributes: Json, within: readonly Part[]): Part[] {
  const said = Object.entries(attributes)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => ` ${name}="${escaped(value)}"`)
    .join("");
  const [open, close] = [`\n<document${said}>\n`, "\n</document>\n"];
  if (within.some(({ type }) => type !== "text")) return [text(open), ...within, text(close)];
  return [text(open + within.map((part) => part.text).join("") + close)];
}

const nested = (content: unknown, at: string): Part[] =>
  typeof content === "string"
    ? [text(content)]
    : listOr(content).flatMap((block, index) => partsOf(objectOr(block), `${at}.${index}`));

function documentParts({ source: given, title, context }: Json, at: string): Part[] {
  const source = objectOr(given);
  if (source.type === "text") return marked({ title, context }, [text(source.data)]);
  if (source.type === "content")
    return marked({ title, context }, nested(source.content, `${at}.source.content`));
  // PDF is what the dialect takes for a file, and only with its bytes (developers.openai.com, "File inputs").
  if (source.type !== "base64" || source.media_type !== "application/pdf") throw unsupported(`${at}.source`);
  const file = {
    filename: title ?? "document.pdf",
    file_data: `data:application/pdf;base64,${source.data}`,
  };
  return [...(context ? [text(context)] : []), { type: "file", file }];
}

function imagePart({ source: given }: Json, at: string): Part {
  const source = objectOr(given);
  if (source.type !== "base64" && source.type !== "url") throw unsupported(`${at}.source`);
  const url = source.type === "base64" ? `data:${source.media_type};base64,${source.data}` : source.url;
  return { type: "image_url", image_url: { url } };
}

/**
 * One of Anthropic's blocks as parts of a message of OpenAI's; `at` is its place in the request.
 * @throws {ValidateError} that dialect cannot say it: to leave it out in silence would be a lie.
 */
export function partsOf(block: Json, at: string): Part[] {
  if (block.type === "text") return [text(block.text)];
  if (block.type === "image") return [imagePart(block, at)];
  if (block.type === "document") return documentParts(block, at);
  if (block.type === "search_result") {
    const { title, source, content } = block;
    return marked({ title, source }, nested(content, `${at}.content`));
  }
  throw unsupported(at);
}
