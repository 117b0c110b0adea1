import { type Problem, ValidateError } from "../errors/app-error.ts";
import { printableField } from "./problems.ts";

const decode = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
};

/**
 * Refuses what a query string can say in two ways: a parameter given twice, and escapes that are no UTF-8, which would
 * otherwise be taken literally.
 * @throws {ValidateError} naming the parameter, or `query` where its name cannot be repeated.
 */
export function checkQuery({ url }: Request): void {
  const start = url.indexOf("?");
  if (start === -1) return;
  const seen = new Set<string>();
  const problems: Record<string, Problem[]> = Object.create(null);
  for (const pair of url.slice(start + 1).split("&")) {
    const [name = "", ...rest] = pair.split("=");
    const field = decode(name);
    const named = printableField(field) ?? "query";
    if (field === undefined || decode(rest.join("=")) === undefined) {
      problems[named] ??= [{ key: "validate.encoding" }];
    } else if (pair !== "" && seen.has(field)) {
      problems[named] ??= [{ key: "validate.repeated" }];
    } else {
      seen.add(field);
    }
  }
  if (Object.keys(problems).length > 0) throw new ValidateError(problems);
}
