import { expect, test } from "bun:test";
import { startTestApp } from "../harness/app.ts";
import { password, soonMs, startWithPeople, until } from "../harness/people.ts";

const next = "another fine passphrase";

test("ends all sessions of the account within a second, in every process, and takes the new password alone", async () => {
  await using app = await startWithPeople();
  await using second = await startTestApp({ dev: false, database: app.database });
  const editor = await app.add("editor");
  const elsewhere = await app.logIn(editor.email);
  expect((await elsewhere.call("GET", "/auth/me", { on: second })).code).toBe("SUCCESS");
  const changed = await editor.call("POST", "/auth/password", { body: { current: password, next } });
  expect(changed).toMatchObject({ code: "SUCCESS", message: "密码已修改,请重新登录" });
  for (const person of [editor, elsewhere]) {
    for (const on of [app, second]) {
      const isOut = async () => (await person.call("GET", "/auth/me", { on })).code === "UNAUTHORIZED";
      expect(await until(isOut)).toBeLessThan(soonMs);
    }
    const body = { refresh_token: person.refreshToken };
    expect((await app.call("POST", "/auth/refresh", { body })).code).toBe("UNAUTHORIZED");
  }
  const old = await app.call("POST", "/auth/login", { body: { email: editor.email, password } });
  expect(old.code).toBe("UNAUTHORIZED");
  expect((await app.logIn(editor.email, next)).id).toBe(editor.id);
  expect((await app.owner.call("GET", "/auth/me")).code).toBe("SUCCESS");
});

test("refuses a wrong present password and changes nothing", async () => {
  await using app = await startWithPeople();
  const { code, message } = await app.owner.call("POST", "/auth/password", {
    body: { current: "wrong", next },
  });
  expect([code, message]).toEqual(["UNAUTHORIZED", "当前密码不正确"]);
  expect((await app.owner.call("GET", "/auth/me")).code).toBe("SUCCESS");
  expect((await app.logIn(app.owner.email)).id).toBe(app.owner.id);
});

test("refuses the e-mail as a password, and names the field that holds it", async () => {
  await using app = await startWithPeople();
  const email = "somebody@example.com";
  const isEmail = ["密码不能与邮箱相同"];
  const made = await app.owner.call("POST", "/account", {
    body: { email, role: "viewer", password: email.toUpperCase() },
  });
  expect(made).toMatchObject({ code: "VALIDATE_ERROR", data: { password: isEmail } });
  const changed = await app.owner.call("POST", "/auth/password", {
    body: { current: password, next: app.owner.email },
  });
  expect(changed).toMatchObject({ code: "VALIDATE_ERROR", data: { next: isEmail } });
});
