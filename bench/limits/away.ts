import { startTcpProxy, type TcpProxy } from "../../tests/harness/tcp-proxy.ts";
import { watchCounter } from "./rates.ts";
import type { Report } from "./report.ts";
import { booksAgree, heldOf, type Options, readBooks, startSetting, waitFor } from "./setting.ts";
import { askOn, type Tally, tallyText, unexpected } from "./streams.ts";

/** How soon calls go on once the database is back, in milliseconds. */
const backMsMax = 5000;

/** The database is away under load: its connections end, or fall silent. */
export async function away(
  options: Options,
  report: Report,
  { seconds }: { seconds: number },
): Promise<void> {
  for (const way of ["cut", "stall"] as const) await without(options, report, { seconds, way });
}

type Phase = "before" | "away" | "after";

async function without(
  options: Options,
  report: Report,
  { seconds, way }: { seconds: number; way: "cut" | "stall" },
): Promise<void> {
  await using building = new AsyncDisposableStack();
  let proxy: TcpProxy | undefined;
  const it = building.use(
    await startSetting(options, {
      processes: 2,
      // So long that nothing is forgotten.
      environment: { LLMOPS_RATE_WINDOW: "3600" },
      way: async (url) => {
        proxy = building.use(await startTcpProxy(url));
        return proxy.url;
      },
    }),
  );
  const { fleet, writer, database } = it;
  const tenant = await fleet.tenant({ content: "none" });
  await fleet.budget({ subject_id: tenant.appId, amount: "20000000" });
  await fleet.limit({ scope: "key", subject: tenant.keyId, requests: 1_000_000 });
  await Bun.sleep(1000);

  let phase: Phase = "before";
  let ended = false;
  let phaseAt = 0;
  const tallies: Record<Phase, Tally> = { before: new Map(), away: new Map(), after: new Map() };
  const firstMs = new Map<string, number>();
  let lastMs = 0;
  const load = askOn({
    ...options,
    urls: fleet.urls,
    key: tenant.key,
    user: "u",
    streams: 64,
    goesOn: () => !ended,
    answered: ({ status, code }) => {
      const name = `${status} ${code}`.trim();
      const tally = tallies[phase];
      tally.set(name, (tally.get(name) ?? 0) + 1);
      const nowMs = performance.now() - phaseAt;
      if (!firstMs.has(`${phase} ${name}`)) firstMs.set(`${phase} ${name}`, nowMs);
      if (phase === "away" && status === 200) lastMs = nowMs;
    },
  });
  const enter = (next: Phase) => {
    phase = next;
    phaseAt = performance.now();
  };
  await Bun.sleep(8000);
  enter("away");
  proxy?.[way]();
  await Bun.sleep(seconds * 1000);
  enter("after");
  proxy?.restore();
  await Bun.sleep(10_000);
  ended = true;
  const all = await load;

  const what = `away (${way})`;
  for (const [name, tally] of Object.entries(tallies)) console.log(`${what}: ${name}: ${tallyText(tally)}`);
  const went = tallies.away.get("200") ?? 0;
  const refused = tallies.away.get("503 limits_unavailable") ?? 0;
  report.must(`${what}: calls that went on`, String(went), "1 or more", went > 0);
  report.note(`${what}: the last of them after`, `${(lastMs / 1000).toFixed(1)} s`);
  report.must(`${what}: 503 limits_unavailable`, String(refused), "1 or more", refused > 0);
  // Who asks for something that is not remembered in the moment when the database is found to be back.
  const early = tallies.after.get("503") ?? 0;
  report.note(`${what}: 503 of the database itself once it was back`, String(early));
  const strange = unexpected(all, ["503 limits_unavailable"]) - early;
  report.must(`${what}: other answers`, String(strange), "0", strange === 0);
  const backMs = firstMs.get("after 200") ?? Number.POSITIVE_INFINITY;
  report.must(
    `${what}: calls go on again after`,
    `${(backMs / 1000).toFixed(1)} s`,
    "5 s",
    backMs <= backMsMax,
  );

  const written = String(writer.tokens.get("u") ?? 0);
  const settledMs = await waitFor(
    async () => {
      const [books] = await readBooks(database);
      return books?.spent === written;
    },
    { limitMs: 30_000, everyMs: 500 },
  );
  const books = await readBooks(database);
  const agree = settledMs !== undefined && booksAgree(books);
  console.log(`${what}: the provider wrote ${written} tokens`, ...books);
  report.must(`${what}: ledger, costs, and the provider's count`, agree ? "agree" : "differ", "agree", agree);
  const counter = watchCounter(database, `requests key ${tenant.keyId}`);
  await Bun.sleep(5000);
  const counted = [...(await counter.stop()).values()].reduce((sum, amount) => sum + amount, 0);
  const seen = writer.arrivals.length;
  report.must(`${what}: counted calls less those seen`, String(counted - seen), "0", counted === seen);
  console.log(`${what}: ${await heldOf(database)} tokens held`);
}
