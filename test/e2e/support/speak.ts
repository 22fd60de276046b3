/** Many protocols at many addresses: whoever answers with a byte is found. */
import type { PodHandle } from "../../lab/pod-handle.ts";
import { python } from "./python.ts";

/** How a connection can end that leads nowhere. */
export const NOWHERE = [
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
];

/** Each protocol at each address and port; what came of it that was not nothing. */
const SCRIPT = `
words = [b"", b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n",
  bytes.fromhex("16030100050100000100"), b"PROXY TCP4 10.0.0.1 10.0.0.2 1 80\\r\\n", b"quit\\n", bytes(range(256)) * 16]
answers = []
for place in json.loads(arguments[0]):
    for word in words:
        def talk():
            made = socket.socket(family(place[0]))
            made.settimeout(2)
            made.connect((place[0], place[1]))
            made.sendall(word)
            return ["data", made.recv(100).hex()]
        answers.append([place, outcome(talk)])
say(answers)`;

export async function speak(from: PodHandle, places: readonly [string, number][]) {
  const { said } = await python<[[string, number], string][]>(from, SCRIPT, JSON.stringify(places));
  return said[0] ?? [];
}
