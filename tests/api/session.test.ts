import { expect, test } from "bun:test";
import { newId } from "../../src/id.ts";
import { startTestApp } from "../harness/app.ts";
import {
  dataOf,
  firstOwner,
  type Person,
  password,
  soonMs,
  startWithPeople,
  until,
} from "../harness/people.ts";

interface WireSession {
  id: string;
  address: string;
  user_agent: string;
  current: boolean;
}
const sessionsOf = async (person: Person) =>
  dataOf(await person.call<{ items: WireSession[] }>("GET", "/auth/session")).items;

test("lists one's own logins, newest first, with network and browser, and says which one asks", async () => {
  await using app = await startWithPeople({ environment: { LLMOPS_TRUSTED_PROXIES: "127.0.0.1" } });
  await app.add("admin");
  const headers = { "x-forwarded-for": "203.0.113.77", "user-agent": "Browser\u007f/1.0" };
  const second = await app.logIn(firstOwner.email, password, headers);
  expect(await sessionsOf(second)).toMatchObject([
    { id: second.sessionId, address: "203.0.113.0/24", user_agent: "Browser\u007f/1.0", current: true },
    { id: app.owner.sessionId, address: "127.0.0.0/24", current: false },
  ]);
  expect((await sessionsOf(app.owner)).map(({ current }) => current)).toEqual([false, true]);
});

test("ends one of them within a second in every process, and takes it from the list", async () => {
  await using app = await startWithPeople();
  await using second = await startTestApp({ dev: false, database: app.database });
  const lost = await app.logIn(firstOwner.email);
  expect((await lost.call("GET", "/auth/me", { on: second })).code).toBe("SUCCESS");
  const ended = await app.owner.call("POST", `/auth/session/${lost.sessionId}/delete`);
  expect(ended).toMatchObject({ code: "SUCCESS", message: "登录会话已结束" });
  for (const on of [app, second]) {
    const isOut = async () => (await lost.call("GET", "/auth/me", { on })).code === "UNAUTHORIZED";
    expect(await until(isOut)).toBeLessThan(soonMs);
  }
  expect((await sessionsOf(app.owner)).map(({ id }) => id)).toEqual([app.owner.sessionId]);
  const again = await app.owner.call("POST", `/auth/session/${lost.sessionId}/delete`);
  expect(again.code).toBe("NOT_FOUND");
});

test("answers NOT_FOUND for somebody else's login, an owner's own power notwithstanding, and ends nothing", async () => {
  await using app = await startWithPeople();
  const viewer = await app.add("viewer");
  for (const [person, id] of [
    [app.owner, viewer.sessionId],
    [viewer, app.owner.sessionId],
    [viewer, newId()],
  ] as const) {
    const { code } = await person.call("POST", `/auth/session/${id}/delete`);
    expect(code).toBe("NOT_FOUND");
  }
  for (const person of [app.owner, viewer])
    expect((await person.call("GET", "/auth/me")).code).toBe("SUCCESS");
});
