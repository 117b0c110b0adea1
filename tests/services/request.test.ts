import { expect, test } from "bun:test";
import type { Principal } from "../../src/auth/principal.ts";
import { nilUuid } from "../../src/id.ts";
import { createRequestService, type RequestQuery } from "../../src/services/request.ts";
import { insertRequestContentMany, insertRequestMany } from "../../src/sql/request.ts";
import { callAt } from "../harness/call-record.ts";
import { createDatabase } from "../harness/database.ts";

const owner: Principal = {
  accountId: nilUuid,
  role: "owner",
  seesAll: true,
  sessionId: undefined,
  actor: { kind: "development" },
};
const now = new Date("2031-05-15T13:00:00.000Z");
const hoursAgo = (hours: number) => new Date(now.getTime() - hours * 3600_000);
const clock = { now: () => now };

test("finds a text in every hour of seven days, page by page, and not a moment before them", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const times = [0, 1, 1.9, 2, 2.1, 5.9, 6, 6.1, 14, 30, 62, 126, 167.9, 168.1, 300].map(hoursAgo);
  const calls = times.map((time, n) => callAt(time, { end_user: n % 2 === 0 ? "li" : "han" }));
  // Between any two of them there is one without the text.
  const others = times.map((time) => callAt(new Date(time.getTime() + 1000)));
  await insertRequestMany(sql, JSON.stringify([...calls, ...others]));
  const content =
    (text: string) =>
    ({ id, app_id }: { id: string; app_id: string }, n: number) => ({
      id,
      app_id,
      ...(n % 3 === 0 ? { question: { text } } : { answer: { text } }),
    });
  const rows = [
    ...calls.map(content("the 100 % Rhinoceros")),
    ...others.map(content("the 100th rhinoceros")),
  ];
  await insertRequestContentMany(sql, JSON.stringify(rows));
  const service = createRequestService({ sql, clock });
  const found = async (query: Partial<RequestQuery>, limit: number) => {
    const ids: string[] = [];
    for (let before: string | undefined; ; ) {
      const page = await service.list(owner, {
        text: "100 % rhino",
        limit,
        ...query,
        ...(before && { before }),
      });
      expect(page.items.length).toBeLessThanOrEqual(limit);
      ids.push(...page.items.map(({ id }) => id));
      if (page.nextCursor === null) return ids;
      before = page.nextCursor;
    }
  };
  const ids = calls.map(({ id }) => id);
  for (const limit of [1, 4, 100]) expect(await found({}, limit)).toEqual(ids.slice(0, 13));
  expect(await found({ user: "han" }, 2)).toEqual(ids.slice(0, 13).filter((_, n) => n % 2 === 1));
  expect(await found({ user: "nobody" }, 2)).toEqual([]);
  expect(await found({ from: hoursAgo(300), to: hoursAgo(140) }, 2)).toEqual(ids.slice(12, 15));
  expect(await found({ from: hoursAgo(6), to: hoursAgo(2) }, 2)).toEqual(ids.slice(4, 7));
});

test("finds a text in whatever case and script, as the database's own comparison does", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const texts = [
    "The WARRANTY of 273 \u212a",
    "the warranty of 273 k",
    "THE W\u0130NDOW",
    "the window, 50% of it",
    "保修 Ärger, ÄRGER: 100 %",
    'a_b\\c "said"\nthen',
    "aXb/c",
    "ΣΊΣΥΦΟΣ σίσυφος",
  ];
  const calls = texts.map((_, n) => callAt(hoursAgo(n + 0.5)));
  await insertRequestMany(sql, JSON.stringify(calls));
  const rows = calls.map(({ id, app_id }, n) => ({ id, app_id, question: { text: texts[n] }, answer: null }));
  await insertRequestContentMany(sql, JSON.stringify(rows));
  const service = createRequestService({ sql, clock });
  const wanted = [
    ...[
      "warranty",
      "WarrantY of",
      "273 k",
      "273 \u212a",
      "K",
      "w\u0130n",
      "win",
      "WIN",
      "50% O",
      "0% of",
      "修",
      "保修 ä",
      "ÄRG",
      "ärger",
    ],
    ...["a_b", "A_B\\C", '"SAID"', "\nThen", "ΣΥΦ", "συφ", "nowhere", "保险"],
    // Two signs, and what has no three letters in a row.
    ...[
      "保修",
      "修 ",
      "B\\",
      '"S',
      "D\n",
      "Σί",
      "ÄR",
      "är",
      ": ",
      "3 K",
      "a_",
      "0%",
      "x/",
      "é!",
      "%",
      "龘龘",
    ],
  ];
  for (const text of wanted) {
    const inJson = JSON.stringify(text).slice(1, -1);
    const found = await service.list(owner, { text, limit: 20 });
    const expected = await sql<{ id: string }[]>`
      select id from request_content where question ilike '%' || like_literal(${inJson}) || '%' order by id desc`;
    expect([text, ...found.items.map(({ id }) => id)]).toEqual([text, ...expected.map(({ id }) => id)]);
  }
});

test("finds what is common and what is rare in order, however far back, page by page", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  // An hour ahead of this clock, in today's first stretch and the rest of it, and in days, months and years before.
  const times = [-1, 0, 1.9, 2, 2.1, 11.9, 12, 12.1, 30, 36, 60, 61, 400, 1500, 3000, 20_000, 90_000].map(
    hoursAgo,
  );
  const calls = times.map((time, n) =>
    callAt(time, { duration_ms: n % 2 === 0 ? 9000 : 5, cost: n % 3 === 0 ? "7" : "0.5", end_user: "li" }),
  );
  await insertRequestMany(sql, JSON.stringify(calls));
  const service = createRequestService({ sql, clock });
  const found = async (query: Partial<RequestQuery>, limit: number) => {
    const ids: string[] = [];
    for (let before: string | undefined; ; ) {
      const page = await service.list(owner, { limit, ...query, ...(before && { before }) });
      ids.push(...page.items.map(({ id }) => id));
      if (page.nextCursor === null) return ids;
      before = page.nextCursor;
    }
  };
  const idsOf = (wanted: (n: number) => boolean) => calls.filter((_, n) => wanted(n)).map(({ id }) => id);
  for (const limit of [1, 3, 100]) {
    expect(await found({}, limit)).toEqual(idsOf(() => true));
    expect(await found({ user: "li", durationMsMin: 9000 }, limit)).toEqual(idsOf((n) => n % 2 === 0));
    expect(await found({ costMin: "1" }, limit)).toEqual(idsOf((n) => n % 3 === 0));
    expect(await found({ model: "nobody's" }, limit)).toEqual([]);
    const stretch = { from: hoursAgo(400), to: hoursAgo(2) };
    expect(await found(stretch, limit)).toEqual(idsOf((n) => n >= 4 && n <= 12));
    expect(await found({ ...stretch, durationMsMin: 9000 }, limit)).toEqual(
      idsOf((n) => n >= 4 && n <= 12 && n % 2 === 0),
    );
  }
});

test("ends what reads for too long, and says how to mend it", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const call = callAt(now);
  await insertRequestMany(sql, JSON.stringify([call]));
  const service = createRequestService({ sql, clock });
  const query = { limit: 1, text: "any" };
  const asked = sql.begin(async (tx) => {
    await tx`lock table request_content in access exclusive mode`;
    return service.list(owner, query).catch((error) => error);
  });
  expect(await asked).toMatchObject({ code: "VALIDATE_ERROR" });
}, 20_000);
