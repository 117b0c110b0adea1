/** A JSON object of which nothing is known yet. */
export type Json = Readonly<Record<string, unknown>>;

/** Whether `value` is a JSON object. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const noMembers: Json = Object.freeze({});

/** `value` where it is an object, else one without members. */
export const objectOr = (value: unknown): Json => (isObject(value) ? value : noMembers);

/** `value` where it is a list, else an empty one. */
export const listOr = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** `value` where it is a text that is not empty. */
export const textOr = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;

/** Whether `value` is a number of tokens. */
export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

/** `value` where it is a number of tokens, else 0. */
export const countOr = (value: unknown): number => (isCount(value) ? value : 0);
