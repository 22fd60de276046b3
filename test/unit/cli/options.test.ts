import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InvalidArgumentError } from "commander";
import { describe, expect, test } from "vitest";
import {
  isOlder,
  metricsAddress,
  namespaceList,
  oneOf,
  requireCapabilities,
  requireKernel,
  resolveCgroupRoot,
  wholeNumber,
} from "../../../agent/cli/options.ts";

describe("the kernel's version", () => {
  test.each([
    ["5.10.0-28-amd64", false],
    ["5.10", false],
    ["5.9.16", true],
    ["5.4.0-150-generic", true],
    ["4.19.0", true],
    ["4.99.1", true],
    ["6.1.0-1-cloud-amd64", false],
    ["6.18.44-fc-v669", false],
    ["10.0.0", false],
  ])("%s: older than 5.10 is %s", (version, older) => {
    expect(isOlder(version, "5.10")).toBe(older);
  });

  test("that is too old is refused in one line that says which is needed", () => {
    expect(() => requireKernel("4.19.0-26-amd64")).toThrow(
      /^run on Linux 4\.19\.0-26-amd64: Podgate needs 5\.10 or newer$/,
    );
    expect(() => requireKernel("5.10.0")).not.toThrow();
  });
});

test.each([
  ["root's", "000001ffffffffff", true],
  ["those that the chart gives the agent", "000000c000001000", true],
  ["those without PERFMON, which it can do without", "0000008000001000", true],
  ["SYS_ADMIN", "0000000000200000", true],
  ["BPF alone", "0000008000000000", false],
  ["NET_ADMIN alone", "0000000000001000", false],
  ["none", "0000000000000000", false],
])("of capabilities, %s are enough or not", (_, effective, enough) => {
  const require = () =>
    requireCapabilities(`CapPrm:\t${"f".repeat(16)}\nCapEff:\t${effective}\nCapBnd:\t0\n`);
  if (enough) require();
  else expect(require).toThrow(/: run it as root, or with the capabilities BPF, NET_ADMIN, PERFMON$/);
});

describe("an option's value", () => {
  test.each([
    ["default", ["default"]],
    ["default,kube-system", ["default", "kube-system"]],
    [" default , platform-2 ,", ["default", "platform-2"]],
    ["", []],
  ])("%j is a list of namespaces", (text, names) => {
    expect(namespaceList(text)).toEqual(names);
  });

  test.each([
    ["10.0.0.1:9474", { host: "10.0.0.1", port: 9474 }],
    ["[10.0.0.1]:1", { host: "10.0.0.1", port: 1 }],
    ["[fd00::1]:65535", { host: "fd00::1", port: 65_535 }],
    ["0.0.0.0:9474", { host: "0.0.0.0", port: 9474 }],
  ])("%j is where metrics are served", (text, address) => {
    expect(metricsAddress(text)).toEqual(address);
  });

  test.each([
    "",
    "9474",
    ":9474",
    "10.0.0.1",
    "10.0.0.1:",
    "10.0.0.1:0",
    "10.0.0.1:65536",
    "10.0.0.1:http",
    "10.0.0.1:-1",
    "010.0.0.1:9474",
    "fd00::1:9474",
    "[fd00::1%eth0]:9474",
    "[]:9474",
    "localhost:9474",
    "http://10.0.0.1:9474",
  ])("%j is nowhere", (text) => {
    expect(() => metricsAddress(text)).toThrow(/^use an IP address and a port, such as/);
  });

  test.each([
    "Default",
    "a b",
    "-a",
    "a-",
    "a.b",
    "a/b",
    "x".repeat(64),
  ])("%j is no list of namespaces", (text) => {
    expect(() => namespaceList(text)).toThrow(InvalidArgumentError);
  });

  test.each([
    ["0", 0],
    ["10", 10],
    ["999999", 999_999],
  ])("%s is a whole number", (text, number) => {
    expect(wholeNumber(text)).toBe(number);
  });

  test.each(["", "-1", "1.5", "1e3", "0x10", " 1", "1000000", "ten"])("%j is no whole number", (text) => {
    expect(() => wholeNumber(text)).toThrow("use a whole number.");
  });

  test("is one of the choices, or the error names them", () => {
    const read = oneOf(["none", "cgroup"]);
    expect(read("cgroup")).toBe("cgroup");
    expect(() => read("toString")).toThrow("use one of none, cgroup.");
  });
});

describe("the pods' cgroup", () => {
  test("is the directory given, without slashes at its end", () => {
    const directory = mkdtempSync(join(tmpdir(), "podgate-options-"));
    try {
      expect(resolveCgroupRoot(directory)).toBe(directory);
      expect(resolveCgroupRoot(`${directory}//`)).toBe(directory);
      expect(resolveCgroupRoot("/")).toBe("/");
      const file = join(directory, "file");
      writeFileSync(file, "");
      for (const wrong of [file, join(directory, "missing")]) {
        expect(() => resolveCgroupRoot(wrong)).toThrow(
          `use --cgroup-root ${wrong}: there is no such directory`,
        );
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
