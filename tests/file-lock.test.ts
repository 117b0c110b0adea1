import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exclusive, tryExclusive, tryShared } from "../src/file-lock.ts";

const folder = mkdtempSync(join(tmpdir(), "llmops-lock-"));
afterAll(() => rmSync(folder, { recursive: true }));

const lockModule = join(import.meta.dir, "../src/file-lock.ts");

/** Another process that takes the lock, starts a child of its own, prints the child's pid, and waits to be killed. */
async function holder(path: string, take: "tryExclusive" | "tryShared") {
  const script = `
    const { ${take} } = await import(${JSON.stringify(lockModule)});
    globalThis.held = ${take}(${JSON.stringify(path)});
    const spawn = () => Bun.spawn(["sleep", "60"], { detached: true, stdio: ["ignore", "ignore", "ignore"] });
    console.log(globalThis.held ? spawn().pid : "refused");
    await Bun.stdin.text();
  `;
  const process_ = Bun.spawn([process.execPath, "-e", script], { stdin: "pipe", stdout: "pipe" });
  for await (const chunk of process_.stdout)
    return { holder: process_, said: Buffer.from(chunk).toString().trim() };
  throw new Error("the holder said nothing");
}

test("refuses a second exclusive lock, in this process and in another, until the first is released", async () => {
  const path = join(folder, "exclusive.lock");
  using first = tryExclusive(path);
  expect(first).toBeDefined();
  expect(tryExclusive(path)).toBeUndefined();
  expect(tryShared(path)).toBeUndefined();
  const other = await holder(path, "tryExclusive");
  expect(other.said).toBe("refused");
  other.holder.kill("SIGKILL");
  first?.release();
  using second = tryExclusive(path);
  expect(second).toBeDefined();
});

test("grants shared locks together and the exclusive one only after the last of them", () => {
  const path = join(folder, "shared.lock");
  const one = tryShared(path);
  const two = tryShared(path);
  expect([one, two]).not.toContain(undefined);
  expect(tryExclusive(path)).toBeUndefined();
  one?.release();
  expect(tryExclusive(path)).toBeUndefined();
  two?.release();
  using last = tryExclusive(path);
  expect(last).toBeDefined();
});

test.each(["tryExclusive", "tryShared"] as const)(
  "loses the lock of a killed process although its child lives on: %s",
  async (take) => {
    const path = join(folder, `${take}-killed.lock`);
    const { holder: process_, said } = await holder(path, take);
    const child = Number(said);
    expect(child).toBeGreaterThan(0);
    try {
      expect(tryExclusive(path)).toBeUndefined();
      process_.kill("SIGKILL");
      await process_.exited;
      using taken = tryExclusive(path);
      expect(taken).toBeDefined();
      expect(() => process.kill(child, 0)).not.toThrow();
    } finally {
      process.kill(child, "SIGKILL");
    }
  },
);

test("waits for the lock as long as it was told and takes it as soon as it is free", async () => {
  const path = join(folder, "wait.lock");
  const first = tryExclusive(path);
  expect(await exclusive(path, 50)).toBeUndefined();
  const waiting = exclusive(path, 10_000);
  first?.release();
  using second = await waiting;
  expect(second).toBeDefined();
});

test("stores nothing and lets no other user open the file", () => {
  const path = join(folder, "empty.lock");
  using _held = tryExclusive(path);
  const { size, mode } = statSync(path);
  expect(size).toBe(0);
  expect(readdirSync(folder).filter((name) => name.endsWith("-journal"))).toEqual([]);
  expect(mode & 0o777).toBe(0o600);
});
