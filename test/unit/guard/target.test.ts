import { expect, test } from "vitest";
import { isTarget } from "../../../agent/guard/target.ts";

// 52 of the trust tests: what only the pod, its link or nobody has.
test.each([
  "127.0.0.1",
  "127.255.0.9",
  "0.0.0.0",
  "0.1.2.3",
  "169.254.169.254",
  "224.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "::7f00:1",
  "fe80::1",
  "febf::1",
  "ff02::1",
  "ledger.payments",
  "",
])("no forward leads to %s", (address) => {
  expect(isTarget(address)).toBe(false);
});

test.each([
  "10.96.7.10",
  "169.253.0.1",
  "128.0.0.1",
  "192.0.2.1",
  "fd77::1",
  "2001:db8::1",
  "fec0::1",
])("a forward may lead to %s", (address) => {
  expect(isTarget(address)).toBe(true);
});
