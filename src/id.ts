/** A UUID in its canonical text form. */
export type Uuid = string;

/** A new UUID, version 7 (RFC 9562): it sorts by the time it was made, so it can serve as a keyset. */
export const newId = (): Uuid => Bun.randomUUIDv7();

/** When a UUID of version 7 was made, in milliseconds since 1970: its first 48 bits (RFC 9562, section 5.7). */
export const timeOf = (id: Uuid): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);

/** Creates a maker of UUIDs, version 7, each above the one before, even where the clock is set back. */
export function createRisingIds(): () => Uuid {
  let last = nilUuid;
  return () => {
    const id = newId();
    last = id > last ? id : Bun.randomUUIDv7("hex", timeOf(last) + 1);
    return last;
  };
}

/** Whether `text` is a UUID in its canonical text form, in either case. */
export const isUuid = (text: string): text is Uuid =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text);

/** Whether `text` is a UUID of version 7, as all that {@link newId} makes are. */
export const isId = (text: string): text is Uuid => isUuid(text) && text[14] === "7";

/** The UUID that names nothing (RFC 9562, section 5.9), for what has no app or key. */
export const nilUuid: Uuid = "00000000-0000-0000-0000-000000000000";
