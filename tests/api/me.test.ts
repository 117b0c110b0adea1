import { expect, test } from "bun:test";
import { startTestApp } from "../harness/app.ts";
import { soonMs, startWithPeople, until } from "../harness/people.ts";

test("says who is logged in, and follows a change of role within a second in every process", async () => {
  await using app = await startWithPeople();
  await using second = await startTestApp({ dev: false, database: app.database });
  const person = await app.add("viewer");
  const me = { id: person.id, email: person.email, name: "", session_id: person.sessionId };
  for (const on of [app, second]) {
    expect((await person.call("GET", "/auth/me", { on })).data).toEqual({ ...me, role: "viewer" });
    expect((await person.call("POST", "/app", { on })).code).toBe("FORBIDDEN");
  }
  await app.owner.call("POST", `/account/${person.id}`, { body: { role: "editor" } });
  for (const on of [app, second]) {
    const isEditor = async () => (await person.call("POST", "/app", { on })).code === "SUCCESS";
    expect(await until(isEditor)).toBeLessThan(soonMs);
    expect((await person.call("GET", "/auth/me", { on })).data).toEqual({ ...me, role: "editor" });
  }
});

test("says in development that nobody is: an owner without an account", async () => {
  await using app = await startTestApp();
  const { data } = await app.call("GET", "/auth/me");
  expect(data).toEqual({ id: expect.any(String), email: "", name: "", role: "owner", session_id: null });
  expect(app.setupUrl).toBeUndefined();
});
