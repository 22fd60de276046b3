/** Whether a forward finds its target: what `on_error: continue` asks. */
import { UNKNOWN } from "../model/connection.ts";
import type { ObjectRef } from "../model/objects.ts";
import type { Resolve } from "../policy/run.ts";
import { isLoop, type Journey } from "./journey.ts";
import { targetOf } from "./target.ts";

const INVALID_URL = "ERR_NGROK_2204";
const OFFLINE = "ERR_NGROK_3200";
const TOO_FAR = "ERR_NGROK_3501";

/** What the target's own policy says is no error. */
export function forwardFault(object: ObjectRef, journey: Journey): Resolve {
  return (text) => {
    const fault = (code: string, why: string) => ({ code, message: `forward to ${text}: ${why}` });
    const route = journey.routes.locate(text, object.namespace);
    if (route instanceof Error) return { code: INVALID_URL, message: route.message };
    if (route.endpoints.length > 0) {
      return isLoop(route, object, journey) ? fault(TOO_FAR, "it comes back or leads too far") : undefined;
    }
    if (route.url.service === undefined) return fault(OFFLINE, "nothing has that url");
    const target = targetOf(route.url, journey.home, journey.routes.services);
    if (target.kind === "refused") {
      const missing = target.reason === "target-not-found";
      return fault(OFFLINE, missing ? "there is no such Service" : "it has no address");
    }
    const { family } = journey.caller;
    if (target.kind === "home" || family === UNKNOWN) return undefined;
    const { ipv4, ipv6 } = target.forward;
    const address = family === 4 ? ipv4 : ipv6;
    return address === undefined ? fault(OFFLINE, "it has no address in the caller's family") : undefined;
  };
}
