/** What a connection takes room of: of all of them, of those not joined yet, and with TLS of those. */
import { type Holder, type Limits, Quota } from "./quota.ts";

/** A connection that has room. */
export interface Stay extends Holder {
  /** It has been displaced: there is nothing more to be done or said about it. */
  readonly isOver: boolean;
  /** Ends the connection as what it is by now. */
  end: () => void;
}

export class Rooms {
  readonly open: Quota;
  readonly pending: Quota;
  /** Of this one the kernel knows nothing ahead. */
  readonly tls: Quota;

  /** `onChange`: `isFull` may be another for that pod; undefined: for any. */
  constructor(
    limits: Readonly<Record<"open" | "pending" | "tls", Limits>>,
    onChange: (podUid: string | undefined) => void,
  ) {
    this.open = new Quota(limits.open, onChange);
    this.pending = new Quota(limits.pending, onChange);
    this.tls = new Quota(limits.tls);
  }

  /** Whether the kernel shall send no more of that pod. */
  isFull(podUid: string): boolean {
    return this.open.isFull(podUid) || this.pending.isFull(podUid);
  }

  /** One more, which is pending. Undefined: there is no room. `onDisplaced`: it has been ended and has left. */
  enter(podUid: string, end: () => void, onDisplaced: () => void): Stay | undefined {
    const both = [this.open, this.pending];
    // Nobody is displaced for one that then is not let in.
    if (!both.every((quota) => quota.hasRoom(podUid))) return undefined;
    const stay = {
      podUid,
      isOver: false,
      end,
      displace: () => {
        stay.isOver = true;
        this.leave(stay);
        stay.end();
        onDisplaced();
      },
    };
    for (const quota of both) quota.take(stay);
    return stay;
  }

  /** Of all. */
  leave(stay: Stay): void {
    for (const quota of [this.open, this.pending, this.tls]) quota.give(stay);
  }
}
