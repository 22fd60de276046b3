/** Small programs in Python, run in pods: for conversations that no ready client holds. */
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import type { PodHandle } from "../../lab/pod-handle.ts";
import { freshComm } from "./dial.ts";

/**
 * `comm`: its process's name; `connect(address, port)`: a connected socket; `talk(connection)`: the name of the pod that
 * answers; `say(value)`: prints a line of JSON.
 */
const PRELUDE = `
import errno, hashlib, json, os, select, socket, struct, sys, time
with open("/proc/self/comm", "w") as name:
    name.write(sys.argv[1])
arguments = sys.argv[2:]
def say(value):
    print(json.dumps(value), flush=True)
def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET
def connect(address, port):
    made = socket.socket(family(address))
    made.settimeout(20)
    made.connect((address, int(port)))
    return made
def listen(port, backlog=128):
    made = socket.socket(socket.AF_INET6)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("::", int(port)))
    made.listen(backlog)
    return made
def talk(connection):
    connection.sendall(b"hello\\n")
    return connection.recv(200).decode().split(" ")[0]
def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
def everything(connection):
    pieces = []
    while True:
        piece = connection.recv(1 << 16)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
def outcome(attempt):
    try:
        return attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno, "timed out")
`;

/** `hold_all(address, attempts)`: the connections through which a server has answered, and how many others were refused. */
export const HOLD_ALL = `
def hold_all(address, attempts):
    held, refused = [], 0
    def talk():
        made = connect(address, 80)
        made.sendall(b"hello\\n")
        return made if made.recv(200) else "closed"
    for number in range(int(attempts)):
        answer = outcome(talk)
        if isinstance(answer, str): refused += 1
        else: held.append(answer)
    return held, refused
`;

const textOf = (script: string) => `${PRELUDE}${script}`;

export interface Ended<T> {
  readonly comm: string;
  /** What it said, line by line. */
  readonly said: readonly T[];
}

/** Runs it to its end. @throws Error with what it wrote if it fails. */
export async function python<T>(
  pod: PodHandle,
  script: string,
  ...args: readonly (string | number)[]
): Promise<Ended<T>> {
  const comm = freshComm();
  const argv = ["python3", "-c", textOf(script), comm, ...args.map(String)];
  const { status, stdout, stderr } = await pod.exec(argv, { timeoutMs: 120_000 });
  if (status !== 0) throw new Error(`run a script in ${pod.name}: exit status ${status}: ${stderr}`);
  const lines = stdout.split("\n").filter((line) => line !== "");
  return { comm, said: lines.map((line) => JSON.parse(line) as T) };
}

export interface Running<T> {
  readonly comm: string;
  readonly process: ChildProcess;
  /** The next thing that it says. */
  readonly next: () => Promise<T>;
  /** A line for its standard input. */
  readonly tell: (line?: string) => void;
  readonly end: () => void;
}

/** Starts it. It ends with its pod if not before. */
export function startPython<T>(
  pod: PodHandle,
  script: string,
  ...args: readonly (string | number)[]
): Running<T> {
  const comm = freshComm();
  const child = pod.spawn(["python3", "-c", textOf(script), comm, ...args.map(String)]);
  let complaint = "";
  child.stderr?.on("data", (data) => {
    complaint += String(data);
  });
  if (child.stdin === null || child.stdout === null) throw new Error("start a script: no pipes");
  const { stdin } = child;
  stdin.on("error", () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    comm,
    process: child,
    next: async () => {
      const { value, done } = await lines.next();
      if (done) throw new Error(`run a script in ${pod.name}: it ended: ${complaint}`);
      return JSON.parse(value) as T;
    },
    tell: (line = "") => stdin.write(`${line}\n`),
    end: () => child.kill("SIGKILL"),
  };
}

/** A script: holds one connection to its argument, and says what comes back at first and after each line. */
export const HOLD = `
connection = connect(arguments[0], 80)
def talk():
    connection.sendall(b"hello\\n")
    return connection.recv(200).decode()
say(talk())
while sys.stdin.readline():
    say(outcome(talk))`;
