import { percent, type Report } from "./report.ts";
import { type Options, startSetting } from "./setting.ts";
import { exhaust, tallyText, unexpected } from "./streams.ts";

/** Many tenants, each with a budget that all of its streams are after, over several processes. */
export async function published(
  options: Options,
  report: Report,
  { tenants, streams, processes, amount }: Record<"tenants" | "streams" | "processes" | "amount", number>,
): Promise<void> {
  await using it = await startSetting(options, { processes, writer: { delayMs: 200 } });
  const { fleet, writer } = it;
  const names = Array.from({ length: tenants }, (_, number) => `tenant-${number}`);
  const keys = new Map<string, string>();
  for (const name of names) {
    const tenant = await fleet.tenant({ fit_budget: true, content: "none" });
    await fleet.budget({ subject_id: tenant.appId, amount: String(amount) });
    keys.set(name, tenant.key);
  }
  const startedAt = performance.now();
  const tallies = await Promise.all(
    names.map((user) =>
      exhaust({ ...options, urls: fleet.urls, key: keys.get(user) ?? "", user, streams, stream: true }),
    ),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  const shares = names.map((user) => (writer.tokens.get(user) ?? 0) / amount);
  for (const [place, share] of shares.entries()) {
    console.log(`published: ${names[place]} ${percent(share)}, ${tallyText(tallies[place] ?? new Map())}`);
  }
  const most = Math.max(...shares);
  const least = Math.min(...shares);
  const strange = tallies.reduce((sum, tally) => sum + unexpected(tally, ["429 budget_exceeded"]), 0);
  const what = `published: ${tenants} tenants x ${streams} streams x ${processes} processes`;
  report.must(`${what}, most used`, percent(most), "100 % or less", most <= 1);
  report.must("published: least used", percent(least), "98.7 % or more", least >= 0.987);
  report.must("published: other answers than 200 and 429", String(strange), "0", strange === 0);
  report.note("published: time until nothing was let in any more", `${seconds.toFixed(1)} s`);
}
