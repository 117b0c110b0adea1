import type { Uuid } from "../id.ts";
import type { Page } from "../services/page.ts";

/** Which part of a list a caller asks for, as the query has it. */
export interface PageQuery {
  limit?: string;
  cursor?: string;
}

/** The same as services take it. */
export const toPage = ({ limit = "20", cursor }: PageQuery): { before?: Uuid; limit: number } => ({
  ...(cursor !== undefined && { before: cursor }),
  limit: Number(limit),
});

/** A page as callers see it. */
export const toWirePage = <T, W>({ items, nextCursor }: Page<T>, toWire: (item: T) => W) => ({
  items: items.map(toWire),
  next_cursor: nextCursor,
});
