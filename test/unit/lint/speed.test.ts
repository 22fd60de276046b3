import { expect, it } from "vitest";
import { endpoint, lintText, M, manifest } from "./rig.ts";

/** The n-th of many: no two alike, every tenth with a trap. */
function policy(n: number): string {
  const trap = n % 10 === 0;
  const annotation = `${M}.annotations["k8s.ngrok.com/tier-${n}"] == "gold"`;
  const rules = [
    `${M}.error_code != "" => deny`,
    `${M}.namespace != "team-${n}" && !(${M}.name in ["a-${n}", "b-${n}"]) => deny`,
    `${M}.name.startsWith("batch-") || ${M}.name.matches("^job-[0-9]+$") => deny`,
    `${trap ? "" : `"k8s.ngrok.com/tier-${n}" in ${M}.annotations && `}${annotation} => forward-internal`,
    "=> deny",
  ];
  const spec = { url: `http://ledger-${n}.payments` };
  return endpoint(rules, spec, { namespace: "payments", name: `ledger-${n}` });
}

it("lint says of 1,000 policies what there is to say, and how long that took", () => {
  const services = Array.from({ length: 1_000 }, (_, n) =>
    manifest("Service", { namespace: "payments", name: `ledger-${n}` }, { ports: [{ port: 80 }] }),
  );
  const policies = Array.from({ length: 1_000 }, (_, n) => policy(n));
  const text = [
    manifest("Service", { namespace: "payments", name: "ledger" }, { ports: [{ port: 80 }] }),
    ...services,
    ...policies,
  ].join("");
  const begun = performance.now();
  const found = lintText(text);
  const took = performance.now() - begun;
  console.log(
    `lint: 1,000 policies and 1,001 Services (${Math.round(text.length / 1024)} KiB) in ${Math.round(took)} ms`,
  );
  expect(found.map(({ code }) => code)).toEqual(Array(100).fill("PODGATE_MISSING_KEY"));
});
