/** A value that is JSON text already. */
export interface Raw {
  readonly raw: string;
}

/** Marks `text` as JSON that goes in as it is. */
export const raw = (text: string): Raw => ({ raw: text });

/** A member of an object: where it stands, from its key to the end of its value. */
interface Member {
  key: string;
  start: number;
  /** Where the value begins. */
  valueStart: number;
  end: number;
}

const quote = 0x22;
const backslash = 0x5c;
const isSpace = (code: number) => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;

/** Index after the string that begins at `at`. */
function afterString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); ; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === backslash) slashes++;
    if (slashes % 2 === 0) return end + 1;
  }
}

/** Index after the value that begins at `at`. */
function afterValue(text: string, at: number): number {
  let depth = 0;
  let i = at;
  do {
    const code = text.charCodeAt(i);
    if (code === quote) i = afterString(text, i);
    else if (code === 0x7b || code === 0x5b) {
      depth++;
      i++;
    } else if (code === 0x7d || code === 0x5d) {
      depth--;
      i++;
    } else if (depth > 0) i++;
    // A number, or one of the three words.
    else while (i < text.length && !",}] \n\r\t".includes(text[i] as string)) i++;
  } while (depth > 0);
  return i;
}

/** The members of the object that `text` is, which must be valid JSON, in order; a key that stands twice is there twice. */
function membersOf(text: string): Member[] {
  const members: Member[] = [];
  let at = text.indexOf("{") + 1;
  const skip = () => {
    while (isSpace(text.charCodeAt(at))) at++;
  };
  for (skip(); text.charCodeAt(at) === quote; skip()) {
    const start = at;
    at = afterString(text, at);
    const spelt = text.slice(start, at);
    const key = spelt.includes("\\") ? (JSON.parse(spelt) as string) : spelt.slice(1, -1);
    skip();
    at++;
    skip();
    const valueStart = at;
    at = afterValue(text, at);
    members.push({ key, start, valueStart, end: at });
    skip();
    if (text[at] === ",") at++;
  }
  return members;
}

/** The text of a top-level member's value, the last where it stands twice; `undefined` without one. */
export function memberText(text: string, key: string): string | undefined {
  const member = membersOf(text).findLast((each) => each.key === key);
  return member && text.slice(member.valueStart, member.end);
}

/** Whether a JSON text may spell characters with `\u`. One sign is found several times as fast as two. */
export const hasEscapes = (text: string): boolean => text.includes("\\") && text.includes("\\u");

const isRaw = (value: unknown): value is Raw => typeof value === "object" && value !== null && "raw" in value;

const jsonOf = (value: unknown): string => (isRaw(value) ? value.raw : JSON.stringify(value));

/**
 * Sets the one member where it stands first and nowhere else, as most clients write `model`; `undefined` where that cannot be
 * told at a glance: a key may be spelt with escapes, or stand twice.
 */
function editFirst(text: string, key: string, value: string): string | undefined {
  const spelt = JSON.stringify(key);
  let at = text.indexOf("{") + 1;
  while (isSpace(text.charCodeAt(at))) at++;
  if (hasEscapes(text) || !text.startsWith(spelt, at) || text.indexOf(spelt, at + 1) !== -1) return undefined;
  at += spelt.length;
  while (isSpace(text.charCodeAt(at))) at++;
  at++;
  while (isSpace(text.charCodeAt(at))) at++;
  const end = afterValue(text, at);
  if (end - at === value.length && text.startsWith(value, at)) return text;
  return text.slice(0, at) + value + text.slice(end);
}

/**
 * Sets and removes top-level members of the object that `text` is, which must be valid JSON. Every other byte stays as it
 * was: the spelling of numbers, white space, order. A key that stands twice is set, or removed, in both places.
 */
export function editJson(
  text: string,
  { set = {}, remove = [] }: { set?: Readonly<Record<string, unknown>>; remove?: readonly string[] },
): string {
  const keys = Object.keys(set);
  const [only] = keys;
  if (only !== undefined && keys.length === 1 && remove.length === 0) {
    const edited = editFirst(text, only, jsonOf(set[only]));
    if (edited !== undefined) return edited;
  }
  return editMembers(text, set, remove);
}

function editMembers(
  text: string,
  set: Readonly<Record<string, unknown>>,
  remove: readonly string[],
): string {
  const keys = Object.keys(set);
  const wanted = new Map(keys.map((key) => [key, jsonOf(set[key])]));
  const missing = new Set(keys);
  const members = membersOf(text);
  const kept: string[] = [];
  let changed = false;
  let result = text.slice(0, text.indexOf("{") + 1);
  let from = result.length;
  let first = true;
  for (const { key, valueStart, end } of members) {
    const value = wanted.get(key);
    missing.delete(key);
    if (value === undefined && remove.includes(key)) {
      // Without it and without the comma before it; the first one's comma comes after it.
      from = end;
      changed = true;
      continue;
    }
    const lead =
      first && changed ? text.slice(from, valueStart).replace(/^\s*,/, "") : text.slice(from, valueStart);
    result += lead + (value ?? text.slice(valueStart, end));
    from = end;
    first = false;
  }
  for (const key of missing) kept.push(`${JSON.stringify(key)}:${wanted.get(key)}`);
  if (kept.length > 0) result += `${first ? "" : ","}${kept.join(",")}`;
  return result + text.slice(from);
}
