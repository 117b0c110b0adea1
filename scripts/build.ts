import { chmodSync } from "node:fs";
import { parseArgs } from "node:util";
import { packPostgres } from "./postgres.ts";

/**
 * Builds `dist/llmops`: the sources, the migrations, Swagger UI and a packed PostgreSQL as one executable.
 * No `--minify`, nor `--production`, which implies it: Elysia reads the source of handlers to decide what to parse.
 * No autoload: a `.env` or `bunfig.toml` where the program is started is not the build's to run.
 */
const { values } = parseArgs({
  options: {
    outfile: { type: "string", default: "dist/llmops" },
    level: { type: "string", default: "19" },
  },
});

await packPostgres({ level: Number(values.level) });
const build = Bun.spawn(
  [
    process.execPath,
    "build",
    "src/main.ts",
    "--compile",
    "--bytecode",
    "--format=esm",
    "--sourcemap",
    "--asset=migrations",
    "--define",
    'process.env.NODE_ENV="production"',
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    `--outfile=${values.outfile}`,
  ],
  { stdout: "inherit", stderr: "inherit" },
);
if ((await build.exited) !== 0) process.exit(1);
const path = process.platform === "win32" ? `${values.outfile}.exe` : values.outfile;
chmodSync(path, 0o755); // whatever the umask is: it is copied to servers and run there by others
console.log(`${path}: ${(Bun.file(path).size / 1024 / 1024).toFixed(1)} MiB`);
