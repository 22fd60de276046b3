/** What is known of one connection besides who opens it, and of the endpoint whose policy is asked about it. */
import type { IpAddress } from "./address.ts";
import type { TlsSession } from "./tls.ts";

/**
 * Stands for what only a connection would tell, where the question is asked before there is one: the kernel's verdicts
 * are made for every connection of a pod at once. It is no value, and nothing may be decided by it.
 */
export const UNKNOWN = "unknown";
export type Known<T> = T | typeof UNKNOWN;

export interface Connection {
  /** The caller's own address in the family of the destination, and the port it connects from. */
  readonly client: { readonly ip: Known<IpAddress>; readonly port: Known<number> };
  /** What was dialled. After a forward: where the connection now is, since every guard on the way judges for itself. */
  readonly server: { readonly ip: Known<IpAddress>; readonly port: Known<number> };
  /** ms since 1970. Known for a connection that exists, and then chance (`rand`) may play a part too. */
  readonly start: Known<number>;
  /** ms since 1970, when the question is asked. */
  readonly now: Known<number>;
  /** Undefined: nobody has shaken hands with the client yet, and what hangs on it is open. */
  readonly tls?: TlsSession;
}

/** A policy object as its own policy sees it. Of a ConnectionPolicy, which has no url, only the id. */
export interface EndpointFacts {
  /** The object's uid. */
  readonly id: string;
  /** As written. */
  readonly url: string;
  /** `http`, `https`, `tcp` or `tls`; "" without a url. */
  readonly protocol: string;
  readonly host: string;
  /** 0 without a url. */
  readonly port: number;
}
