/** A page of a list; `nextCursor` is `null` on the last one. */
export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

/** The page of at most `limit` items in `rows`, which were asked for with one more, to know whether another page follows. */
export function pageOf<T extends { id: string }>(rows: readonly T[], limit: number): Page<T> {
  const items = rows.slice(0, limit);
  return { items, nextCursor: rows.length > items.length ? (items.at(-1)?.id ?? null) : null };
}
