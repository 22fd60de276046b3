/**
 * What its agent has told a broker, in a file for the broker after it: an agent that stands still cannot say it again.
 * The words are those of the protocol, a message a line.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { decodeRequest, encodeRequest, type Place } from "./broker-protocol.ts";

export interface Told {
  /** In ms; 0: it has not said. */
  readonly agentDownAfter: number;
  /** The namespaces that it has sockets in. */
  readonly places: readonly Place[];
}

/** Whole, or as it was. @throws Error when it cannot be written. */
export function keepTold(path: string, { agentDownAfter, places }: Told): void {
  const watched = places.map((place) => encodeRequest({ id: 0, op: "watch", ...place }));
  const beats = agentDownAfter > 0 ? [encodeRequest({ id: 0, op: "beat", agentDownAfter })] : [];
  writeFileSync(`${path}.tmp`, [...watched, ...beats].join("\n"), { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}

/** Nothing, where there is no such file. What is no message of the two is passed over. */
export function recallTold(path: string): Told {
  const requests = lines(path).map((line) => decodeRequest(Buffer.from(line)));
  const told = { agentDownAfter: 0, places: [] as Place[] };
  for (const request of requests) {
    if ("error" in request) continue;
    if (request.op === "beat") told.agentDownAfter = request.agentDownAfter;
    if (request.op === "watch") told.places.push(request);
  }
  return told;
}

function lines(path: string): readonly string[] {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch {
    return [];
  }
}
