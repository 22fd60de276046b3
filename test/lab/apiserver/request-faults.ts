/** Faults that strike a request before or while it is answered. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Target, Verb } from "./paths.ts";
import { ApiError } from "./status.ts";

/** Which requests; what is not said matches all. */
export interface RequestMatch {
  /** `pods`, `endpointslices.discovery.k8s.io`. */
  readonly resource?: string;
  readonly verb?: Verb | readonly Verb[];
  readonly namespace?: string;
  readonly name?: string;
}

export interface Fault {
  /** How often it struck. */
  readonly hits: number;
  remove(): void;
}

interface RequestFault {
  readonly match: RequestMatch;
  readonly strike: Strike;
  left: number;
  hits: number;
}

export type Strike =
  | { readonly kind: "respond"; readonly error: ApiError }
  | { readonly kind: "reset"; readonly when: "at once" | "mid-reply" }
  | { readonly kind: "delay"; readonly milliseconds: number };

export class RequestFaults {
  readonly #faults = new Set<RequestFault>();

  add(match: RequestMatch, strike: Strike, times: number): Fault {
    const fault: RequestFault = { match, strike, left: times, hits: 0 };
    this.#faults.add(fault);
    return {
      get hits() {
        return fault.hits;
      },
      remove: () => void this.#faults.delete(fault),
    };
  }

  clear(): void {
    this.#faults.clear();
  }

  /** Lets the faults of a request strike. False: the connection is gone, answer nothing. Throws the injected failure. */
  async strike(target: Target, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    for (const fault of [...this.#faults]) {
      // Another request may have used it up while this one was delayed.
      if (!this.#faults.has(fault) || !matchesRequest(fault.match, target)) continue;
      fault.hits++;
      fault.left--;
      if (fault.left <= 0) this.#faults.delete(fault);
      const { strike } = fault;
      if (strike.kind === "respond") throw strike.error;
      if (strike.kind === "delay") await new Promise((resolve) => setTimeout(resolve, strike.milliseconds));
      else if (strike.when === "mid-reply") resetHalfway(response);
      else {
        request.socket.resetAndDestroy();
        return false;
      }
    }
    return !response.destroyed;
  }
}

/** A failure with the reason that belongs to its code. `retryAfter`: seconds. */
export function injected(code: number, retryAfter: number | undefined): ApiError {
  const details = retryAfter === undefined ? {} : { retryAfterSeconds: retryAfter };
  return new ApiError(code, reasons[code] ?? "Unknown", `injected fault ${code}`, details);
}

const reasons: Readonly<Record<number, string>> = {
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  409: "Conflict",
  410: "Expired",
  429: "TooManyRequests",
  500: "InternalError",
  503: "ServiceUnavailable",
  504: "Timeout",
};

export function matchesRequest(match: RequestMatch, target: Target): boolean {
  const verbs = match.verb === undefined ? [target.verb] : [match.verb].flat();
  return (
    (match.resource ?? target.resourceName) === target.resourceName &&
    verbs.includes(target.verb) &&
    (match.namespace ?? target.namespace) === target.namespace &&
    (match.name ?? target.name) === target.name
  );
}

/** The reply announces its full length; its reader gets half of it, then a reset. */
function resetHalfway(response: ServerResponse): void {
  response.end = ((body?: unknown) => {
    const half = body instanceof Buffer ? body.subarray(0, body.length >> 1) : "";
    response.write(half, () => response.socket?.resetAndDestroy());
    return response;
  }) as ServerResponse["end"];
}
