/** A pod with very many sockets of its own, made to be in the way of whoever reads its table. */
import type { PodHandle } from "../../lab/pod-handle.ts";

/** Connected to itself over loopback addresses, at a port of its choice; ends when its input does. */
const CROWD = `
import os, resource, socket, sys
port, wanted = int(sys.argv[1]), int(sys.argv[2])
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
share = min(most, 20000) // 2 - 100
children = []
for number in range(-(-wanted // (2 * share))):
    count = min(share, wanted // 2 - number * share)
    ready, done = os.pipe()
    child = os.fork()
    if child == 0:
        held = []
        with socket.socket() as listener:
            address = f"127.1.{number}.1"
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(64)
            for _ in range(count):
                client = socket.socket()
                client.connect((address, port))
                held += [client, listener.accept()[0]]
        os.write(done, b".")
        sys.stdin.read()
        os._exit(0)
    os.close(done)
    children.append((child, ready))
for _, ready in children: os.read(ready, 1)
print("ready", flush=True)
sys.stdin.read()
for child, _ in children: os.waitpid(child, 0)
`;

/** Resolves when there are as many as said. The result ends them. */
export async function crowd(pod: PodHandle, port: number, sockets: number): Promise<() => Promise<void>> {
  const child = pod.spawn(["python3", "-c", CROWD, String(port), String(sockets)]);
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  child.stderr?.pipe(process.stderr);
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once("data", () => resolve());
    child.once("close", () => reject(new Error(`make ${sockets} sockets in a pod: the program ended`)));
  });
  return async () => {
    child.stdin?.end();
    await ended;
  };
}
