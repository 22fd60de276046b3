/** The addon's reading of a table of connections, as promises. */
import type { Listing, TcpSocket } from "./native-sockets.ts";

export interface Piece {
  readonly connections: readonly TcpSocket[];
  readonly more: boolean;
}

/** Rejects with a NativeError. Never settles once the listing is closed. */
export function nextPiece(listing: Pick<Listing, "next">): Promise<Piece> {
  return new Promise((resolve, reject) =>
    listing.next((...[error, connections, more]) =>
      error === undefined ? resolve({ connections, more }) : reject(error),
    ),
  );
}

/** To its end, where it is closed, also early. */
export async function* pieces(listing: Listing): AsyncGenerator<readonly TcpSocket[]> {
  try {
    for (let isOver = false; !isOver; ) {
      const { connections, more } = await nextPiece(listing);
      isOver = !more;
      yield connections;
    }
  } finally {
    listing.close();
  }
}
