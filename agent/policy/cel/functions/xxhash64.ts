/** XXH64 with seed 0, as its specification describes it: four lanes of 8 bytes, then what is left, then mixing. */

const P1 = 0x9e3779b185ebca87n;
const P2 = 0xc2b2ae3d27d4eb4fn;
const P3 = 0x165667b19e3779f9n;
const P4 = 0x85ebca77c2b2ae63n;
const P5 = 0x27d4eb2f165667c5n;

const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);
const rotate = (value: bigint, by: bigint): bigint => wrap((value << by) | (value >> (64n - by)));
const round = (lane: bigint, input: bigint): bigint => wrap(rotate(wrap(lane + input * P2), 31n) * P1);

/** 8 bytes, the highest first. */
export function xxhash64(text: Buffer): Buffer {
  const stripes = Math.floor(text.length / 32);
  let hash = stripes > 0 ? lanes(text, stripes) : P5;
  hash = rest(wrap(hash + BigInt(text.length)), text.subarray(stripes * 32));
  hash = wrap((hash ^ (hash >> 33n)) * P2);
  hash = wrap((hash ^ (hash >> 29n)) * P3);
  const digest = Buffer.alloc(8);
  digest.writeBigUInt64BE(hash ^ (hash >> 32n));
  return digest;
}

function lanes(text: Buffer, stripes: number): bigint {
  let lane = [wrap(P1 + P2), P2, 0n, wrap(-P1)];
  for (let stripe = 0; stripe < stripes; stripe++) {
    lane = lane.map((value, index) => round(value, text.readBigUInt64LE(stripe * 32 + index * 8)));
  }
  const shifts = [1n, 7n, 12n, 18n];
  const sum = lane.reduce((all, value, index) => all + rotate(value, shifts[index] ?? 0n), 0n);
  return lane.reduce((hash, value) => wrap((hash ^ round(0n, value)) * P1 + P4), wrap(sum));
}

function rest(start: bigint, text: Buffer): bigint {
  let hash = start;
  let at = 0;
  for (; at + 8 <= text.length; at += 8) {
    hash = wrap(rotate(hash ^ round(0n, text.readBigUInt64LE(at)), 27n) * P1 + P4);
  }
  if (at + 4 <= text.length) {
    hash = wrap(rotate(hash ^ wrap(BigInt(text.readUInt32LE(at)) * P1), 23n) * P2 + P3);
    at += 4;
  }
  for (; at < text.length; at++) {
    hash = wrap(rotate(hash ^ wrap(BigInt(text[at] ?? 0) * P5), 11n) * P1);
  }
  return hash;
}
