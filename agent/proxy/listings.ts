/** The readings of pods' tables that one agent has begun. It asks for each piece, so that a huge table waits for itself alone. */
import { nextPiece, type Piece } from "../dataplane/listing.ts";
import type { Listing } from "../dataplane/native-sockets.ts";

/** The agent may have thousands of policies to ask about one piece. */
const LONGEST_PAUSE_MS = 60_000;

export class Listings {
  readonly #now: () => number;
  readonly #open = new Map<number, { readonly listing: Listing; askedAt: number }>();

  /** `now`: ms that only ever grow. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Takes the listing over, under a name of the agent's, and reads its first piece. */
  begin(name: number, listing: Listing): Promise<Piece> {
    this.#open.get(name)?.listing.close();
    this.#open.set(name, { listing, askedAt: this.#now() });
    return this.next(name);
  }

  /** Rejects with an Error that says why there is no more, and never settles when it is closed. */
  async next(name: number): Promise<Piece> {
    const open = this.#open.get(name);
    if (open === undefined) throw new Error("read on: that listing is over");
    open.askedAt = this.#now();
    try {
      const piece = await nextPiece(open.listing);
      if (!piece.more) this.#open.delete(name);
      return piece;
    } catch (error) {
      open.listing.close();
      this.#open.delete(name);
      throw error;
    }
  }

  /** Closes those that the agent has given up. */
  sweep(): void {
    for (const [name, { listing, askedAt }] of this.#open) {
      if (this.#now() - askedAt < LONGEST_PAUSE_MS) continue;
      listing.close();
      this.#open.delete(name);
    }
  }

  close(): void {
    for (const { listing } of this.#open.values()) listing.close();
    this.#open.clear();
  }
}
