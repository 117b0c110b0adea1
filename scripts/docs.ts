/**
 * Writes what is generated from the routes' contracts: `openapi.json` and `Insomnia.yaml`.
 *
 *     bun scripts/docs.ts [--check]
 *
 * With `--check` nothing is written; it fails where a file is not what the code says.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type AppNeeds, allRoutes } from "../src/app.ts";
import { silentLog } from "../src/log.ts";
import { openApiDocument } from "../src/openapi/document.ts";
import { insomniaCollection } from "./insomnia.ts";

const root = join(import.meta.dir, "..");

/** Stands where routes need something that documentation never touches. */
const absent = <T extends object>(): T =>
  new Proxy({} as T, {
    get: (_, name) => {
      throw new Error(`documentation calls nothing, but something asked for ${String(name)}`);
    },
  });

/** Every route of the system, without anything behind it. */
export const documentedRoutes = () => {
  const needs: AppNeeds = {
    accounts: absent(),
    apps: absent(),
    audit: absent(),
    bodyBytesMax: 0,
    budgets: absent(),
    calls: absent(),
    completions: absent(),
    cookies: absent(),
    health: absent(),
    keys: absent(),
    members: absent(),
    models: absent(),
    oidc: absent(),
    prices: absent(),
    providers: absent(),
    rateLimits: absent(),
    rates: absent(),
    requests: absent(),
    sessions: absent(),
    usage: absent(),
    admit: async () => ({}),
    signIn: async () => ({ cookies: [] }),
    trustedProxies: absent(),
    drain: absent(),
    log: silentLog,
    debug: false,
  };
  return allRoutes(needs);
};

/** Each generated file's name and the text that the code calls for. */
export async function generatedFiles(): Promise<Record<string, string>> {
  const document = await openApiDocument(documentedRoutes());
  return {
    "openapi.json": `${JSON.stringify(document, null, 2)}\n`,
    "Insomnia.yaml": insomniaCollection(document),
  };
}

/** Which of the generated files in `folder` are missing, or not what the code says. */
export async function staleFiles(folder = root): Promise<string[]> {
  const stale: string[] = [];
  for (const [name, text] of Object.entries(await generatedFiles())) {
    const file = Bun.file(join(folder, name));
    if (!(await file.exists()) || (await file.text()) !== text) stale.push(name);
  }
  return stale;
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { check: { type: "boolean", default: false } } });
  if (values.check) {
    const stale = await staleFiles();
    for (const name of stale) console.error(`${name} is not what the code says; run: bun scripts/docs.ts`);
    process.exitCode = stale.length > 0 ? 1 : 0;
  } else {
    for (const [name, text] of Object.entries(await generatedFiles()))
      await Bun.write(join(root, name), text);
  }
}
