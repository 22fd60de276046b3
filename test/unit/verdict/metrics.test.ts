import { expect, test } from "vitest";
import { metricsPage } from "../../../agent/verdict/metrics.ts";

const lines = async (...counts: Parameters<typeof metricsPage>) =>
  (await metricsPage(...counts)).split("\n").filter((line) => line !== "" && !line.startsWith("#"));

test("what was counted is a line each; what was never refused for is a line too", async () => {
  const page = await lines({
    verdicts: [
      { verdict: "allow", reason: "rule", count: 2 ** 53 - 1 },
      { verdict: "allow", reason: "pending", count: 0 },
      { verdict: "deny", reason: "over-limit", count: 0 },
      { verdict: "deny", reason: "self", count: 0 },
    ],
    lost: { events: 3, lines: 4 },
    proxy: {
      open: { used: 7, limit: 20_000 },
      pending: { used: 5, limit: 1000 },
      tls: { used: 3, limit: 2000 },
      refused: new Map([["stray", 2]]),
    },
  });
  expect(page).toEqual([
    'podgate_verdicts_total{verdict="allow",reason="rule"} 9007199254740991',
    'podgate_verdicts_total{verdict="deny",reason="over-limit"} 0',
    'podgate_events_lost_total{stage="ring-buffer"} 3',
    'podgate_events_lost_total{stage="log"} 4',
    "podgate_proxy_connections 7",
    "podgate_proxy_connections_limit 20000",
    "podgate_proxy_connections_pending 5",
    "podgate_proxy_connections_pending_limit 1000",
    "podgate_proxy_connections_tls 3",
    "podgate_proxy_connections_tls_limit 2000",
    'podgate_proxy_refused_total{reason="over-limit"} 0',
    'podgate_proxy_refused_total{reason="stray"} 2',
  ]);
});

test("without a proxy nothing is said of one, and a page says nothing of the one before", async () => {
  const counts = { verdicts: [{ verdict: "deny", reason: "rule", count: 1 }], lost: { events: 0, lines: 0 } };
  const page = await lines(counts);
  expect(page.filter((line) => line.includes("proxy"))).toEqual([]);
  expect(await lines(counts)).toEqual(page);
});
