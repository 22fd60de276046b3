/** Sockets as the kernel's table shows them. */
import type { TcpConnection } from "../../../agent/dataplane/native.ts";
import { addressBytes } from "../../../agent/model/address.ts";

let cookies = 0n;

/** Established and dialled by the pod, unless said otherwise. */
export function socketTo(address: string, port: number, parts: Partial<TcpConnection> = {}): TcpConnection {
  cookies++;
  return {
    family: address.includes(":") ? 6 : 4,
    state: 1,
    local: { address: bytes(address.includes(":") ? "2001:db8:1::5" : "203.0.113.5"), port: 40_000 },
    remote: { address: bytes(address), port },
    interfaceIndex: 0,
    cookie: cookies,
    inode: cookies,
    uid: 0,
    beyondPayload: 1,
    ...parts,
  };
}

function bytes(address: string): Buffer {
  return Buffer.from(addressBytes(address) ?? []);
}
