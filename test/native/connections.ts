/** A network namespace's table of connections, whole. */
import { pieces } from "../../agent/dataplane/listing.ts";
import type { ListingFilter, Netns, TcpSocket } from "../../agent/dataplane/native.ts";

export function connectionsOf(netns: Netns, filter?: ListingFilter): Promise<TcpSocket[]> {
  return inAll(pieces(netns.list(filter)));
}

export async function inAll<T>(pieces: AsyncIterable<readonly T[]>): Promise<T[]> {
  const all: T[] = [];
  for await (const piece of pieces) all.push(...piece);
  return all;
}
