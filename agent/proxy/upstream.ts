/** Where the proxy may connect to from within a pod. */
import { addressBytes, type IpAddress } from "../model/address.ts";

/**
 * Not the pod itself, nor what only its link or nobody has: whoever could send a connection there would reach, with the
 * pod's eyes, what listens for the pod alone.
 */
export function isUpstream(address: IpAddress): boolean {
  const bytes = addressBytes(address);
  if (bytes === undefined) return false;
  const [a = 0, b = 0] = bytes.subarray(12);
  if (!address.includes(":")) {
    const linkLocal = a === 169 && b === 254;
    return a !== 0 && a !== 127 && !linkLocal && a < 224;
  }
  const [first = 0, second = 0] = bytes;
  const linkLocal = first === 0xfe && (second & 0xc0) === 0x80;
  const reserved = bytes.subarray(0, 12).every((byte) => byte === 0); // ::, ::1, and IPv4 in disguise
  return first !== 0xff && !linkLocal && !reserved;
}
