/**
 * Which side dialled. The kernel's table does not say, and a pod must not be judged for a connection that came to it:
 * its peer may happen to come from a guarded address and port. What a pod could arrange (a listener on the port
 * that its connection comes from) is no evidence. Sequence numbers are: a SYN takes one, and the socket of the
 * side that was dialled never sent one. (Its listener answered.)
 */
import { TCP_STATES, type TcpConnection } from "../dataplane/native-sockets.ts";

/** Undefined: it was just sending, or is about to end, and cannot be told. */
export function isDialled({ state, beyondPayload }: TcpConnection): boolean | undefined {
  switch (state) {
    case TCP_STATES.synSent:
      return true;
    // Somebody dials it. (Or both at once: then it is established a moment later.)
    case TCP_STATES.synReceived:
      return false;
    case TCP_STATES.established:
    case TCP_STATES.closeWait:
      return answer(beyondPayload, 0);
    // The FIN has one too.
    case TCP_STATES.finWait2:
      return answer(beyondPayload, 1);
    // Its FIN may have left, or wait behind what the peer has no room for.
    default:
      return beyondPayload === 0 ? false : beyondPayload === 2 ? true : undefined;
  }
}

function answer(beyondPayload: number, accepted: number): boolean | undefined {
  if (beyondPayload === accepted) return false;
  return beyondPayload === accepted + 1 ? true : undefined;
}
