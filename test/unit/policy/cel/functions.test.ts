import { describe, expect, it } from "vitest";
import { result } from "./builders.ts";

/** What ngrok's documents show, and what CEL's specification leaves to be seen. */
const cases: Readonly<Record<string, readonly [text: string, value: string][]>> = {
  addresses: [
    ['inCidrRange(conn.client_ip, "10.0.0.0/8")', "true"],
    ['inCidrRange("192.168.1.100", "192.168.1.0/24")', "true"],
    ['inCidrRange("66.249.66.77", "66.249.66.1/24")', "true"],
    ['inCidrRange("66.249.67.1", "66.249.66.1/24")', "false"],
    ['inCidrRange("2001:4860::8888", "2001:4860::/32")', "true"],
    ['inCidrRange("::ffff:192.0.2.1", "192.0.2.0/24")', "true"],
    ['inCidrRange("192.0.2.1", "192.0.2.0/33")', "false"],
    ['inCidrRange("192.0.2.1", "nonsense")', "false"],
    ['inCidrRange("192.0.2.1", "192.0.2.1")', "false"],
    ['inCidrRange("not an address", "0.0.0.0/0")', "false"],
    ['inCidrRanges("192.168.1.100", ["nonsense", "192.168.1.0/24", "10.0.0.0/8"])', "true"],
    ['inCidrRanges("192.0.2.1", ["10.0.0.0/8", "::/0"])', "false"],
    ['inCidrRanges("192.0.2.1", [])', "false"],
    ['conn.client_ip.isPrivateIp() && "172.31.255.255".isPrivateIp() && "192.168.1.1".isPrivateIp()', "true"],
    [
      '"172.32.0.1".isPrivateIp() || "127.0.0.1".isPrivateIp() || "fd00::1".isPrivateIp() || "".isPrivateIp()',
      "false",
    ],
  ],
  hashes: [
    ["hash.crc32('hello')", '"3610a686"'],
    ["hash.crc32('hello', 'base64')", '"NhCmhg=="'],
    ["hash.crc64('hello', 'hex')", '"3c3eeee2d8100000"'],
    ["'hello'.crc64('base64')", '"PD7u4tgQAAA="'],
    ["hash.md5('hello')", '"5d41402abc4b2a76b9719d911017c592"'],
    ["'hello'.sha1('base64')", '"qvTGHdzF6KLavt4PO0gs2a6pQ00="'],
    ["'hello'.sha256()", '"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"'],
    ["size('hello'.sha512())", "128"],
    ["'hello'.xxhash64()", '"26c7827d889f6da3"'],
    ["hash.xxhash64('hello', 'base64')", '"JseCfYifbaM="'],
    // The published test vectors: nothing, and more than one stripe of 32 bytes.
    ["hash.xxhash64('')", '"ef46db3751d8e999"'],
    ["hash.xxhash64('Nobody inspects the spammish repetition')", '"fbcea83c8a378bf1"'],
    ["hash.md5('hello', 'octal')", 'error: md5() gives "hex" or "base64"'],
  ],
  encodings: [
    ["base64.encode(b'hello')", '"aGVsbG8="'],
    ["base64.decode('aGVsbG8=')", "bytes 68656c6c6f"],
    ["base64.decode('aGVsbG8')", "error: the text is not base64"],
    ["'some:thing'.encodeBase64()", '"c29tZTp0aGluZw=="'],
    ["'c29tZTp0aGluZw=='.decodeBase64()", '"some:thing"'],
    ["'/w=='.decodeBase64()", "error: the bytes are no UTF-8 text"],
    ["basic_auth.encode('username', 'password1')", '"Basic dXNlcm5hbWU6cGFzc3dvcmQx"'],
    ["url.escape('i;md/r/$y')", '"i%3Bmd%2Fr%2F%24y"'],
    [`"a b!*'()~é".escapeUrl()`, '"a+b%21%2A%27%28%29~%C3%A9"'],
    ["url.unescape('i%3Bmd%2Fr%2F%24y+%2B')", '"i;md/r/$y +"'],
    ["'%zz'.unescapeUrl()", "error: the text is not escaped as in a url"],
    [
      "json.encode({'b': [1, 2u, 1.5, null, true], 'a': {'x': 'y'}})",
      String.raw`"{\"a\":{\"x\":\"y\"},\"b\":[1,2,1.5,null,true]}"`,
    ],
    ["['a', 'b'].encodeJson()", String.raw`"[\"a\",\"b\"]"`],
    [
      "{'t': timestamp(0), 'd': duration('90s'), 'b': b'hi', 1: 2}.encodeJson()",
      String.raw`"{\"1\":2,\"b\":\"aGk=\",\"d\":\"90s\",\"t\":\"1970-01-01T00:00:00Z\"}"`,
    ],
    ["json.encode([9007199254740993])", String.raw`"[\"9007199254740993\"]"`],
    ["json.encode([0.0 / 0.0])", "error: JSON has no such number"],
    [`json.decode('{"a":"b"}').a`, '"b"'],
    [`json.decode('[1, {"deep": [true]}]')`, '[double 1, {"deep": [true]}]'],
    [`json.decode('[1]')[0] == 1`, "true"],
    ["json.decode('{')", "error: the text is not JSON"],
    [`'{"a":"b","c":"d"}'.isJson()`, "true"],
    ["'not json'.isJson()", "false"],
    ["queryString.encode({'c': 'd e', 'a': 'b'})", '"a=b&c=d+e"'],
    ["queryString.decode('a=b&c=d+e&a=z&f')", '{"a": "b", "c": "d e", "f": ""}'],
    [
      "{'a': 'b', 'c': 'd'}.encodeQueryString() == 'a=b&c=d' && 'a=b'.decodeQueryString()['a'] == 'b'",
      "true",
    ],
    ["{'a': 1}.encodeQueryString()", "error: a query string is made of text"],
  ],
  text: [
    ["'hello'.charAt(4) + 'hello'.charAt(5)", '"o"'],
    ["'hello'.charAt(-1)", "error: index out of range: -1"],
    ["'😀b'.charAt(1)", '"b"'],
    ["'hello mellow'.indexOf('ello', 2)", "7"],
    ["'😀😀b'.indexOf('b')", "2"],
    ["'hello mellow'.lastIndexOf('ello', 6)", "1"],
    ["'hello mellow'.lastIndexOf('')", "12"],
    ["'hello mellow'.lastIndexOf('ello', 20)", "error: index out of range: 20"],
    ["'hello mellow'.split()", '["hello", "mellow"]'],
    ["'a,b,c'.split(',', 2)", '["a", "b,c"]'],
    ["'a😀'.split('')", '["a", "😀"]'],
    ["'hello mellow'.replace('l', 'L', 2)", '"heLLo mellow"'],
    ["'ab'.replace('', '-')", '"-a-b-"'],
    ["'ab'.replace('', '-', 2)", '"-a-b"'],
    ["'tacocat'.substring(0, 4)", '"taco"'],
    ["'tacocat'.substring(2, 1)", "error: index out of range: 1"],
    ["'  \\ttrim\\n    '.trim() + '\\u00a0x\\u2028'.trim()", '"trimx"'],
    ["'\\u200bx'.trim() == 'x'", "false"],
    ["'gums😀'.reverse()", '"😀smug"'],
    ["'TacoCÆt Xii'.lowerAscii() + 'TacoCÆt Xii'.upperAscii()", '"tacocÆt xiiTACOCÆT XII"'],
    [
      "'Ärger in Österreich, ÉCOLE, İSTANBUL, ЙОГА!'.lower()",
      '"ärger in österreich, école, istanbul, йога!"',
    ],
    ["'Ärger in Österreich, ÉCOLE, ßé'.upper()", '"ÄRGER IN ÖSTERREICH, ÉCOLE, ßÉ"'],
    ["strings.quote('two escape sequences \\\\a\\n\"')", String.raw`"\"two escape sequences \\\\a\\n\\\"\""`],
    ['"hello %s, %d, %.2f, %x".format(["world", 42, 3.14159, 26])', '"hello world, 42, 3.14, 1a"'],
    ["'%d'.format([])", "error: format() has no value for %d"],
    ["matches('foobar', 'foo.*') && 'test'.matches('^t')", "true"],
    ["'worker-a'.matches('^' + 'worker')", "true"],
    ["'worker-a'.matches(r'\\p' + 'L')", "error: a pattern that is no literal has no classes such as \\pL"],
    [
      "'x'.matches('(' + 'a')",
      "error: error parsing regexp: missing closing ): `(a`: write the pattern in RE2 syntax",
    ],
  ],
  conversions: [
    ["bool('true') && bool('t') && bool('1') && !bool('F'.lowerAscii())", "true"],
    ["bool('T')", "error: the text is neither true nor false"],
    ["int(1e99)", "error: integer overflow"],
    ["int(7u) + int('+7') + int(-1.9)", "13"],
    ["int('0x10')", "error: the text is no integer"],
    ["uint('18446744073709551615')", "18446744073709551615u"],
    ["uint(-1)", "error: unsigned integer overflow"],
    ["-(-9223372036854775808)", "error: integer overflow"],
    ["double('1e400')", "error: the text is no double"],
    ["string(timestamp(1.0 == 1.0 ? 0 : 1)) + string(duration('-90.5s'))", '"1970-01-01T00:00:00Z-90.5s"'],
    ["string(1e300 * 1e300) + string(b'é') + string(-0.5)", '"+Infé-0.5"'],
    ["{1: 'a', 2u: 'b'}[1u] + {1: 'a', 2u: 'b'}[2]", '"ab"'],
    ["{1: 'a', 1u: 'b'}[1]", 'error: the map has the key "1" twice'],
    ["[1, 2u, 3.0] == dyn([1u, 2.0, 3]) && dyn(2u) in [1, 2]", "true"],
    ["'\u{1f600}' < '\ufb00' || b'b' < b'a'", "false"],
    ["type(1u) == uint && type(type) == type && type([]) == list", "true"],
  ],
  lists: [
    [
      "['hello', 'mellow'].join() + ['hello', 'mellow'].join(' ') + [].join('/')",
      '"hellomellowhello mellow"',
    ],
    ["[1, 'a'].join()", "error: join() needs a list of text"],
    ["[1,2,3,4].slice(1, 3)", "[2, 3]"],
    ["[1,2].slice(1, 3)", "error: slice() of 1 to 3 is outside a list of 2"],
    ["[1,[2,[3,4]]].flatten()", "[1, 2, [3, 4]]"],
    ["[1,[2,[3,[4]]]].flatten(2)", "[1, 2, 3, [4]]"],
    ["[1].flatten(-1)", "error: flatten() needs a depth that is not negative"],
    ["[3, 2, 1].sort()", "[1, 2, 3]"],
    ['["b", "\\U0001F600", "\\uffee"].sort()', '["b", "\uffee", "😀"]'],
    ["[1, 'b'].sort()", "error: sort() needs elements of one type that has an order"],
    ["[[1, 2, 3]].sort()", "error: sort() needs elements of one type that has an order"],
    ["[1, 'b', 2, 'b', 1.0].distinct()", '[1, "b", 2]'],
    ["lists.range(5)", "[0, 1, 2, 3, 4]"],
    ["lists.range(-5)", "[]"],
    ["{'one': 1, 'two': 2, 'three': 3}.map(k, k.startsWith('t'), k.upper())", '["TWO", "THREE"]'],
  ],
  time: [
    ['timestamp("2023-12-25T00:00:00Z").getDate("America/Los_Angeles")', "24"],
    ['timestamp("2024-01-01T10:00:00Z").getDate("Asia/Tokyo")', "1"],
    ['timestamp("2023-12-25T12:00:00Z").getDayOfYear()', "358"],
    ['timestamp("2023-12-25T12:00:00.500Z").getMilliseconds()', "500"],
    ['duration("1.234s").getMilliseconds()', "234"],
    ['duration("1h30m").getMinutes()', "90"],
    ['conn.ts.start.getHours("+05:30")', "8"],
    ['conn.ts.start.getHours("-03:30")', "23"],
    ['conn.ts.start.getHours("Mars/Olympus")', "error: there is no time zone `Mars/Olympus`"],
    ['conn.ts.start.getHours("+24:00")', "error: there is no time zone `+24:00`"],
    ['timestamp("0001-01-01T00:00:00Z").getFullYear("-01:00")', "0"],
    ['timestamp("1890-01-01T00:00:00Z").getSeconds("Europe/Amsterdam")', "30"],
    ['duration("1h") + timestamp(0) > timestamp(3599)', "true"],
    ['conn.ts.start - duration("48h") < conn.ts.start', "true"],
    [
      'timestamp("2026-02-31T00:00:00Z")',
      "error: the text is no timestamp: write it as 2006-01-02T15:04:05Z",
    ],
  ],
  presence: [
    ['has(conn.pod.annotations["ngrok.com/team"])', "true"],
    ['has(conn.pod.annotations["ngrok.com/" + "nope"])', "false"],
    ['conn.pod.annotations.exists(k, has(conn.pod.annotations[k]) && k.endsWith("zone"))', "true"],
    ["has([1, 2][1]) && !has([1, 2][2]) && !has([1][-1])", "true"],
    ['has({"a": 1}.a) && !has({"a": 1}.b)', "true"],
    ["has(vars.any.list) && !has(vars.any.nope) && has(vars.any.nothing)", "true"],
    ["has(vars.any.text.nope)", "error: a string has no field nope"],
    ["has(vars.missing)", "false"],
    ["vars.missing", "error: there is no value for vars.missing"],
    ["has(conn.pod) && has(conn.client_ip) && has(vars.inner) && has(vars.inner.deep)", "true"],
  ],
};

describe.each(Object.entries(cases))("%s", (_title, table) => {
  it.each(table)("%s is %s", (text, value) => {
    expect(result(text)).toBe(value);
  });
});

describe("chance", () => {
  it("is what it is given, between both ends", () => {
    expect(result("rand.double()", {}, () => 0.25)).toBe("double 0.25");
    expect(result("rand.int()", {}, () => 0)).toBe("0");
    expect(result("rand.int()", {}, () => 0.999_999)).toBe("1");
    expect(result("rand.int(5, 10)", {}, () => 0.5)).toBe("8");
    expect(result("rand.int(5, 10)", {}, () => 0.999_999)).toBe("10");
  });

  it.each([
    "rand.int(-1, 1)",
    "rand.int(2, 1)",
    "rand.int(0, 9223372036854775807)",
  ])("%s is an error", (text) => {
    expect(result(text)).toBe("error: rand.int() needs two positive numbers, the smaller first");
  });
});

describe("values from outside", () => {
  it("may be whole numbers, dates, lists, maps and plain objects", () => {
    expect(result("conn.client_port + 1")).toBe("40001");
    expect(result("conn.ts.start")).toBe("timestamp 2026-11-21T03:04:05.678Z");
    expect(result("vars.any")).toBe('{"list": [double 1, {"deep": true}], "nothing": null, "text": "t"}');
    expect(result("vars.any.list[1].deep && vars.any.list[0] == 1")).toBe("true");
  });

  it("are errors where they are no values", () => {
    expect(result("conn.client_port", { conn: { client_port: 1.5 } })).toBe("error: 1.5 is no whole number");
    expect(result("vars.any", { vars: { any: () => 1 } })).toBe("error: there is no value of kind function");
    expect(result("conn.client_ip", { conn: Object.create({ client_ip: "10.0.0.1" }) })).toMatch(
      /^error: there is no value/,
    );
  });
});
