/** What the scenarios found, as a table. */
export interface Report {
  /** A figure, and what it must be. */
  must(what: string, result: string, limit: string, holds: boolean): void;
  /** A figure that is good to know. */
  note(what: string, result: string): void;
  /** Prints the table. Returns how many of those that must hold do not. */
  print(): number;
}

/** Starts a report. */
export function createReport(): Report {
  const rows: { what: string; result: string; limit: string; holds: boolean }[] = [];
  return {
    must: (what, result, limit, holds) => void rows.push({ what, result, limit, holds }),
    note: (what, result) => void rows.push({ what, result, limit: "-", holds: true }),
    print() {
      for (const { what, result, limit, holds } of rows) {
        console.log(`${what.padEnd(64)} ${result.padStart(12)}   limit ${limit}${holds ? "" : "   NOT MET"}`);
      }
      return rows.filter(({ holds }) => !holds).length;
    },
  };
}

/** A share as it is told, in percent. */
export const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
