/** What an agent has begun to read and goes on with, or does not. The addon's listing is imagined. */
import { expect, test } from "vitest";
import type { Listing, TcpSocket } from "../../../agent/dataplane/native.ts";
import { Listings } from "../../../agent/proxy/listings.ts";
import { socketTo } from "../reauthorize/sockets.ts";

const [first, second] = [socketTo("192.0.2.1", 80), socketTo("192.0.2.2", 80)].map((it) => ({
  ...it,
  onEventLoop: false,
}));

function imagine(pieces: readonly (readonly TcpSocket[] | Error)[]) {
  const left = [...pieces];
  const state = { closed: 0 };
  const listing: Listing = {
    next: (done) => {
      const piece = left.shift();
      if (piece instanceof Error) done(Object.assign(piece, { code: "EAGAIN", operation: "", log: "" }));
      else done(undefined, [...(piece ?? [])], left.length > 0);
    },
    close: () => state.closed++,
  };
  return { listing, state };
}

test("each piece is read when it is asked for, and nothing follows the last", async () => {
  const listings = new Listings(() => 0);
  const { listing } = imagine([[first], [], [second]] as TcpSocket[][]);
  expect(await listings.begin(7, listing)).toEqual({ connections: [first], more: true });
  expect(await listings.next(7)).toEqual({ connections: [], more: true });
  expect(await listings.next(7)).toEqual({ connections: [second], more: false });
  await expect(listings.next(7)).rejects.toThrow("read on: that listing is over");
  await expect(listings.next(8)).rejects.toThrow("read on: that listing is over");
});

test("one that fails is over", async () => {
  const listings = new Listings(() => 0);
  const { listing, state } = imagine([[], new Error("the table changed")]);
  await listings.begin(7, listing);
  await expect(listings.next(7)).rejects.toThrow("the table changed");
  expect(state.closed).toBe(1);
  await expect(listings.next(7)).rejects.toThrow("that listing is over");
});

test("those that nobody asks for any more are closed, and all when the agent goes", async () => {
  let now = 0;
  const listings = new Listings(() => now);
  const [left, used, other] = [imagine([[], []]), imagine([[], [], []]), imagine([[], []])];
  await listings.begin(1, left.listing);
  await listings.begin(2, used.listing);
  now = 40_000;
  await listings.next(2);
  now = 70_000;
  listings.sweep();
  expect([left.state.closed, used.state.closed]).toEqual([1, 0]);
  await listings.begin(3, other.listing);
  listings.close();
  expect([left.state.closed, used.state.closed, other.state.closed]).toEqual([1, 1, 1]);
});
