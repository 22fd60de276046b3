/** A client that keeps its connection until told otherwise. */
import { createInterface } from "node:readline";
import type { PodHandle } from "../../lab/pod-handle.ts";
import { freshComm } from "./dial.ts";

export interface HeldConnection {
  readonly comm: string;
  readonly pid: number;
  /** SO_COOKIE of its socket. */
  readonly socket: bigint;
  /** `address port` each. */
  readonly peer: string;
  readonly local: string;
  /** Does the next of `steps`, else closes. Returns when done. */
  next(): Promise<void>;
}

const SCRIPT = `
import ctypes, json, socket, sys
comm, source, address, port, steps = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5:]
with open("/proc/self/comm", "w") as name:
    name.write(comm)
held = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
if source:
    held.bind((source, 0))
def say():
    cookie = int.from_bytes(held.getsockopt(socket.SOL_SOCKET, 57, 8), sys.byteorder)
    ends = [" ".join(map(str, end[:2])) for end in (held.getpeername(), held.getsockname())]
    print(json.dumps({"socket": str(cookie), "peer": ends[0], "local": ends[1]}), flush=True)
held.connect((address, port))
held.sendall(b"held\\n")
say()
for step in steps:
    sys.stdin.readline()
    assert ctypes.CDLL(None).connect(held.fileno(), b"\\0" * 16, 16) == 0  # AF_UNSPEC: the socket is free again
    to, number = step.rsplit(" ", 1)
    held.connect((to, int(number)))
    held.sendall(b"again\\n")
    say()
sys.stdin.readline()
held.close()
print("{}", flush=True)`;

/** `source`: what it binds to before it dials; `again`: `address port` to which it then connects the same socket. */
export async function hold(
  pod: PodHandle,
  address: string,
  port: number,
  { source = "", again = [] }: { readonly source?: string; readonly again?: readonly string[] } = {},
): Promise<HeldConnection> {
  const comm = freshComm();
  const child = pod.spawn(["python3", "-c", SCRIPT, comm, source, address, String(port), ...again]);
  let complaint = "";
  child.stderr?.on("data", (data) => {
    complaint += String(data);
  });
  if (child.stdin === null || child.stdout === null) throw new Error("hold a connection: no pipes");
  const { stdin } = child;
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const read = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`hold a connection: ${complaint}`);
    return JSON.parse(value) as { socket: string; peer: string; local: string };
  };
  const { socket, peer, local } = await read();
  return {
    comm,
    pid: child.pid ?? 0,
    socket: BigInt(socket),
    peer,
    local,
    next: async () => {
      stdin.write("\n");
      await read();
    },
  };
}
