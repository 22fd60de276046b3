import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addressBytes, formatAddress } from "../../../agent/model/address.ts";
import { cidrContains, parseCidr } from "../../../agent/model/cidr.ts";

describe("an address range", () => {
  it.each([
    "192.0.2.1",
    "192.0.2.0/33",
    "192.0.2.0/-1",
    "192.0.2.0/08",
    "192.0.2.0/",
    "/8",
    "2001:db8::/129",
    "x/8",
    "",
  ])("%j is none", (text) => {
    expect(parseCidr(text)).toBeUndefined();
  });

  it("holds an address exactly where their first bits are equal, in the address's own family", () => {
    const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
    const v4 = fc.uint8Array({ minLength: 4, maxLength: 4 });
    const mapped = v4.map((four) => Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...four]));
    const bits = (address: Uint8Array) =>
      [...address].map((byte) => byte.toString(2).padStart(8, "0")).join("");
    const any = fc.oneof(bytes, mapped);
    const near = fc.tuple(any, fc.nat(127)).map(([first, at]) => {
      const other = Uint8Array.from(first);
      other[at >> 3] = (other[at >> 3] ?? 0) ^ (128 >> (at & 7));
      return [first, other] as const;
    });
    fc.assert(
      fc.property(fc.oneof(near, fc.tuple(any, any)), fc.nat(128), ([first, other], length) => {
        const range = formatAddress(first);
        const address = formatAddress(other);
        const ipv4 = !range.includes(":");
        const prefix = ipv4 ? Math.min(length, 32) : length;
        const parsed = parseCidr(`${range}/${prefix}`);
        const significant = ipv4 ? prefix + 96 : prefix;
        const sameFamily = ipv4 === !address.includes(":");
        const expected =
          sameFamily && bits(first).slice(0, significant) === bits(other).slice(0, significant);
        expect(parsed && cidrContains(parsed, address)).toBe(expected);
      }),
      { numRuns: 5000 },
    );
    expect(addressBytes("192.0.2.1")).toHaveLength(16);
  });
});
