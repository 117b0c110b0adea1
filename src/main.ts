import { runCommand } from "./cli/run.ts";

process.exitCode = await runCommand(process.argv.slice(2), {
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
  terminal: process.stderr.isTTY ?? false,
});
// What a command leaves behind (a driver's timer, a keep-alive connection) must not keep the program alive.
process.exit();
