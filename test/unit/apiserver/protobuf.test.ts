import { expect, test } from "vitest";
import { decodeProtobuf, protobufType } from "../../lab/apiserver/protobuf.ts";
import { startApiServer } from "../../lab/apiserver/server.ts";
import { call } from "./client.ts";

/** A length-delimited field. */
function field(number: number, content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes = [];
  for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
  return Buffer.from([...bytes, value]);
}

const number = (at: number, value: number) => Buffer.concat([varint(at << 3), varint(value)]);
const all = (...parts: Buffer[]) => Buffer.concat(parts);

function envelope(kind: string, raw: Buffer): Buffer {
  const type = all(field(1, "v1"), field(2, kind));
  return all(Buffer.from("k8s\0"), field(1, type), field(2, raw), field(4, ""));
}

test("a ConfigMap is read with its labels and data", () => {
  const metadata = all(
    field(1, "c"),
    field(3, "team"),
    field(11, all(field(1, "tier"), field(2, "web"))),
    field(8, ""),
  );
  const data = [
    field(2, all(field(1, "a"), field(2, "ä".repeat(200)))),
    field(2, all(field(1, "b"), field(2, ""))),
  ];
  expect(decodeProtobuf(envelope("ConfigMap", all(field(1, metadata), ...data)))).toEqual({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "c", namespace: "team", labels: { tier: "web" } },
    data: { a: "ä".repeat(200), b: "" },
  });
});

test("a Service is read with its ports; a target port is a number or a name", () => {
  const port = (name: string, target: Buffer) =>
    field(1, all(field(1, name), field(2, "TCP"), number(3, 443), field(4, target), number(5, 0)));
  const byNumber = port("a", all(number(1, 0), number(2, 8443), field(3, "")));
  const byName = port("b", all(number(1, 1), number(2, 0), field(3, "https")));
  const spec = all(byNumber, byName, field(4, "NodePort"), field(5, "192.0.2.1"), number(20, 0));
  const service = decodeProtobuf(envelope("Service", all(field(1, field(1, "s")), field(2, spec))));
  expect(service.spec).toMatchObject({
    type: "NodePort",
    externalIPs: ["192.0.2.1"],
    ports: [
      { name: "a", port: 443, targetPort: 8443 },
      { name: "b", port: 443, targetPort: "https" },
    ],
  });
});

test.each([
  ["no protobuf at all", Buffer.from('{"kind":"Pod"}'), "does not begin like"],
  ["a kind that is not known", envelope("Pod", Buffer.alloc(0)), "send JSON"],
  ["a length that runs past the end", envelope("ConfigMap", Buffer.from([0x0a, 0x7f])), "malformed"],
  ["a varint without end", envelope("ConfigMap", Buffer.alloc(12, 0xff)), "malformed"],
  ["a number where text belongs", envelope("Namespace", field(1, number(1, 5))), "malformed"],
])("%s is a 400", (_what, body, message) => {
  expect(() => decodeProtobuf(body)).toThrow(
    expect.objectContaining({ code: 400, message: expect.stringContaining(message) }),
  );
});

test("an object in protobuf is created like any other", async () => {
  const server = await startApiServer();
  const response = await fetch(`${server.url}/api/v1/namespaces`, {
    method: "POST",
    headers: { "content-type": protobufType },
    body: new Uint8Array(envelope("Namespace", field(1, field(1, "team")))),
  });
  expect(response.status).toBe(201);
  expect((await call(server.url, "GET", "/api/v1/namespaces/team")).body.status.phase).toBe("Active");
  await server.close();
});
