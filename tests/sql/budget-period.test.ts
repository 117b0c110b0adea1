import { expect, test } from "bun:test";
import { createDatabase } from "../harness/database.ts";

test("gives the period of a moment by the days of its time zone, also where they are longer or shorter", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const periods: [period: string, zone: string, moment: string, starts: string, ends: string | null][] = [
    ["day", "UTC", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"],
    ["day", "Asia/Shanghai", "2026-03-01T15:59:59Z", "2026-02-28T16:00:00Z", "2026-03-01T16:00:00Z"],
    ["day", "Asia/Shanghai", "2026-03-01T16:00:00Z", "2026-03-01T16:00:00Z", "2026-03-02T16:00:00Z"],
    // The clocks go forward, and back.
    ["day", "America/New_York", "2026-03-08T12:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"],
    ["day", "America/New_York", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"],
    // A day without a midnight.
    ["day", "Africa/Cairo", "2026-04-24T12:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"],
    // A day whose first hour comes twice: it begins the first time, and so does the end of the day before.
    ["day", "America/Havana", "2026-11-01T03:30:00Z", "2026-10-31T04:00:00Z", "2026-11-01T04:00:00Z"],
    ["day", "America/Havana", "2026-11-01T04:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"],
    ["day", "America/Havana", "2026-11-01T05:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"],
    ["month", "America/Havana", "2026-11-01T04:30:00Z", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"],
    // From Monday on.
    ["week", "UTC", "2026-03-01T12:00:00Z", "2026-02-23T00:00:00Z", "2026-03-02T00:00:00Z"],
    ["month", "Asia/Shanghai", "2024-02-29T16:00:00Z", "2024-02-29T16:00:00Z", "2024-03-31T16:00:00Z"],
    ["month", "UTC", "2024-02-29T16:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"],
    ["forever", "Asia/Shanghai", "2026-03-01T00:00:00Z", "1970-01-01T00:00:00Z", null],
  ];
  const found: typeof periods = [];
  const text = (at: Date | null | undefined) => at?.toISOString().replace(".000Z", "Z") ?? null;
  for (const [period, zone, moment] of periods) {
    const [row] = await sql<{ starts_at: Date; ends_at: Date | null }[]>`
      select * from budget_period_at(${period}, ${zone}, ${moment}::timestamptz)`;
    found.push([period, zone, moment, text(row?.starts_at) ?? "", text(row?.ends_at)]);
  }
  expect(found).toEqual(periods);
});
