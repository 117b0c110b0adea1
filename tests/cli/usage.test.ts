import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { version } from "../../src/version.ts";
import { createProgram } from "../harness/program.ts";

/** Settings with which everything fails that as much as reads them or looks for a database. */
const poison = { PORT: "canary", DATABASE_URL: "canary", LLMOPS_DATA_DIR: "/dev/null/x" };
const commands = [
  "serve",
  "migrate",
  "account",
  "key",
  "price",
  "lease",
  "secret",
  "audit",
  "doctor",
  "config",
  "version",
];

describe("help", () => {
  test("lists every command and no other, however it is asked for, and reads no settings", async () => {
    using program = createProgram();
    const asked = await Promise.all([["help"], ["--help"], ["-h"]].map((args) => program.run(args, poison)));
    for (const { code, stdout, stderr } of asked) {
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toStartWith("usage: llmops COMMAND [flags]\n\n");
      const listed = [...stdout.matchAll(/^ {2}(\w+) {2,}\S/gm)].map(([, name]) => name);
      expect(listed).toEqual([...commands, "help"]);
    }
  });

  test("explains each command, however it is asked for, and touches no database", async () => {
    using program = createProgram();
    for (const command of commands) {
      const [asked, flagged, short] = await Promise.all([
        program.run(["help", command], poison),
        program.run([command, "--help"], poison),
        program.run([command, "-h"], poison),
      ]);
      expect(asked).toMatchObject({ code: 0, stderr: "" });
      expect(asked.stdout).toStartWith(`usage: llmops ${command}`);
      expect(asked.stdout).toContain("--help");
      expect([flagged, short]).toEqual([asked, asked]);
    }
    expect(readdirSync(program.folder)).toEqual([]);
  });

  test("names the subcommands and flags of the contract", async () => {
    using program = createProgram();
    const [serve, migrate, account, key] = await Promise.all([
      program.run(["help", "serve"]),
      program.run(["help", "migrate"]),
      program.run(["help", "account"]),
      program.run(["help", "key"]),
    ]);
    for (const flag of ["--host H", "--port P", "--data-dir D", "--dev"])
      expect(serve.stdout).toContain(flag);
    for (const action of ["up", "down", "status", "history", "new NAME", "--steps N"]) {
      expect(migrate.stdout).toContain(action);
    }
    expect(account.stdout).toStartWith(
      "usage: llmops account create --email E [--role R] [--data-dir D]\n" +
        "       llmops account reset-password --email E [--data-dir D]\n" +
        "       llmops account list ",
    );
    expect(account.stdout).not.toContain("--password");
    expect(key.stdout).toStartWith(
      "usage: llmops key create --app ID [--name N] [--data-dir D]\n" +
        "       llmops key revoke --app ID --key ID [--data-dir D]\n" +
        "       llmops key list --app ID [--data-dir D]\n",
    );
  });
});

describe("version", () => {
  test("prints the program's name and version, however it is asked for", async () => {
    using program = createProgram();
    const asked = await Promise.all(
      [["version"], ["--version"], ["-v"]].map((args) => program.run(args, poison)),
    );
    for (const { code, stdout, stderr } of asked) {
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toMatch(new RegExp(`^llmops ${version.replaceAll(".", "\\.")} \\(Bun \\d.*\\)\n$`));
    }
  });
});

describe("a command line that cannot be understood", () => {
  const wrong: [args: string[], says: string, usage: string][] = [
    [[], "a command is needed", "usage: llmops COMMAND"],
    [["nonsense"], "there is no command 'nonsense'", "usage: llmops COMMAND"],
    [["Serve"], "there is no command 'Serve'", "usage: llmops COMMAND"],
    [["--dev"], "there is no command '--dev'", "usage: llmops COMMAND"],
    [["help", "nonsense"], "there is no command 'nonsense'", "usage: llmops COMMAND"],
    [["constructor"], "there is no command 'constructor'", "usage: llmops COMMAND"],
    [["serve", "--nonsense"], "Unknown option '--nonsense'", "usage: llmops serve"],
    [["serve", "-p", "80"], "Unknown option '-p'", "usage: llmops serve"],
    [["serve", "extra"], "Unexpected argument 'extra'", "usage: llmops serve"],
    [["serve", "--port"], "Option '--port <value>' argument missing", "usage: llmops serve"],
    [["serve", "--dev=yes"], "Option '--dev' does not take an argument", "usage: llmops serve"],
    [["doctor", "--port", "1"], "Unknown option '--port'", "usage: llmops doctor"],
    [["config", "--dev"], "Unknown option '--dev'", "usage: llmops config"],
    [["version", "--host", "x"], "Unknown option '--host'", "usage: llmops version"],
    [["account", "create", "--password", "x"], "Unknown option '--password'", "usage: llmops account create"],
    [["account", "create", "--email"], "Option '--email <value>' argument missing", "usage: llmops account"],
    [["key", "create", "--secret", "x"], "Unknown option '--secret'", "usage: llmops key create"],
    [["secret", "rotate", "--key", "x"], "Unknown option '--key'", "usage: llmops secret rotate"],
    [["audit", "verify", "--nonsense"], "Unknown option '--nonsense'", "usage: llmops audit verify"],
    [["migrate", "up", "--nonsense"], "Unknown option '--nonsense'", "usage: llmops migrate up"],
  ];

  test("prints what is wrong and the usage on stderr, nothing else, and exits 2", async () => {
    using program = createProgram();
    for (const [args, says, usage] of wrong) {
      const { code, stdout, stderr } = await program.run(args, poison);
      expect([args, code, stdout]).toEqual([args, 2, ""]);
      expect(stderr).toStartWith(`llmops: ${says}`);
      expect(stderr).toContain(`\n\n${usage}`);
      expect(stderr).not.toContain("    at ");
    }
    expect(readdirSync(program.folder)).toEqual([]);
  });

  test("exits 2 and says whose a flag is where it is another subcommand's", async () => {
    using program = createProgram();
    for (const [args, says] of [
      [["account", "list", "--email", "a@example.com"], "--email goes with create and reset-password"],
      [["account", "reset-password", "--role", "admin"], "--role goes with create"],
      [["key", "create", "--key", "x"], "--key goes with revoke"],
      [["key", "list", "--name", "x"], "--name goes with create"],
      [["lease", "list", "--spent", "none"], "--spent goes with settle"],
      [["migrate", "up", "--steps", "1"], "--steps goes with down"],
    ] as const) {
      const { code, stdout, stderr } = await program.run([...args], poison);
      const expected = `llmops: ${says}; see 'llmops ${args[0]} --help'\n`;
      expect([args, code, stdout, stderr]).toEqual([args, 2, "", expected]);
    }
    expect(readdirSync(program.folder)).toEqual([]);
  });

  test("exits 2 with a pointer to the help where migrate's words are wrong", async () => {
    using program = createProgram();
    for (const args of [
      [],
      ["sideways"],
      ["up", "more"],
      ["new"],
      ["new", "a", "b"],
      ["up", "--steps", "1"],
      ["down", "--steps", "0"],
      ["down", "--steps", "-1"],
      ["down", "--steps", "1.5"],
      ["down", "--steps", "all"],
      ["new", "Bad Name"],
    ]) {
      const { code, stdout, stderr } = await program.run(["migrate", ...args], poison);
      expect([args, code, stdout]).toEqual([args, 2, ""]);
      expect(stderr).toMatch(/^llmops: /);
      expect(stderr).not.toContain("    at ");
    }
  });
});
