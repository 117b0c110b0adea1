import { expect, test } from "bun:test";
import { newId } from "../../src/id.ts";
import { dataOf, startWithPeople } from "../harness/people.ts";

test("gives a role on one app and on no other, changes it, and takes it away at once", async () => {
  await using app = await startWithPeople();
  const [editor, other] = [await app.add("editor"), await app.add("editor")];
  const { id } = dataOf(await editor.call<{ id: string }>("POST", "/app", { body: { name: "shared" } }));
  const hidden = dataOf(await editor.call<{ id: string }>("POST", "/app"));
  const can = async (path = `/app/${id}`) => [
    (await other.call("GET", path)).code,
    (await other.call("POST", path, { body: { name: "x" } })).code,
    (await other.call("POST", `${path}/delete`)).code,
  ];
  expect(await can()).toEqual(["NOT_FOUND", "NOT_FOUND", "NOT_FOUND"]);
  const given = await editor.call("POST", `/app/${id}/member`, {
    body: { email: other.email.toUpperCase(), role: "viewer" },
  });
  expect(given).toMatchObject({
    message: `成员 ${other.email} 的角色已设为 viewer`,
    data: { account_id: other.id, email: other.email, role: "viewer" },
  });
  expect(await can()).toEqual(["SUCCESS", "FORBIDDEN", "FORBIDDEN"]);
  await editor.call("POST", `/app/${id}/member`, { body: { email: other.email, role: "editor" } });
  expect(await can()).toEqual(["SUCCESS", "SUCCESS", "FORBIDDEN"]);
  expect(await can(`/app/${hidden.id}`)).toEqual(["NOT_FOUND", "NOT_FOUND", "NOT_FOUND"]);
  const { items } = dataOf(await other.call<{ items: object[] }>("GET", `/app/${id}/member`));
  expect(items).toMatchObject([{ account_id: other.id, role: "editor" }]);
  const taken = await editor.call("POST", `/app/${id}/member/${other.id}/delete`);
  expect(taken).toMatchObject({ code: "SUCCESS", message: "成员已移除" });
  expect(await can()).toEqual(["NOT_FOUND", "NOT_FOUND", "NOT_FOUND"]);
});

test("lets an installation's viewer read what they are an editor of, and no more", async () => {
  await using app = await startWithPeople();
  const viewer = await app.add("viewer");
  const { id } = dataOf(await app.owner.call<{ id: string }>("POST", "/app"));
  await app.owner.call("POST", `/app/${id}/member`, { body: { email: viewer.email, role: "editor" } });
  expect((await viewer.call("GET", `/app/${id}`)).code).toBe("SUCCESS");
  expect((await viewer.call("POST", `/app/${id}`, { body: { name: "x" } })).code).toBe("FORBIDDEN");
});

test("refuses an e-mail that nobody has, the owner's own, and a role taken away twice", async () => {
  await using app = await startWithPeople();
  const editor = await app.add("editor");
  const { id } = dataOf(await editor.call<{ id: string }>("POST", "/app"));
  const set = (email: string) =>
    editor.call("POST", `/app/${id}/member`, { body: { email, role: "editor" } });
  expect(await set("nobody@example.com")).toMatchObject({ code: "NOT_FOUND", message: "账号不存在" });
  expect(await set(editor.email)).toMatchObject({ code: "CONFLICT", message: "应用的所有者不能同时是成员" });
  for (const account of [newId(), editor.id]) {
    const { code } = await editor.call("POST", `/app/${id}/member/${account}/delete`);
    expect(code).toBe("NOT_FOUND");
  }
});

test("answers NOT_FOUND for the members of a deleted app", async () => {
  await using app = await startWithPeople();
  const { id } = dataOf(await app.owner.call<{ id: string }>("POST", "/app"));
  await app.owner.call("POST", `/app/${id}/delete`);
  expect((await app.owner.call("GET", `/app/${id}/member`)).code).toBe("NOT_FOUND");
});
