/**
 * The program of a container that declares ports and no command: says who it is and whom it sees.
 * usage: echo.ts NAMESPACE/POD PORT/PROTOCOL...
 *
 * Each line it reads is answered by `NAMESPACE/POD PEER-ADDRESS`, an HTTP request by a response with that line.
 */
import { createSocket } from "node:dgram";
import { createServer, type Socket } from "node:net";

const [name = "", ...ports] = process.argv.slice(2);

for (const port of ports) {
  const [number = "", protocol] = port.split("/");
  if (protocol === "TCP") listen(Number(number));
  if (protocol === "UDP") answerDatagrams(Number(number));
}
process.on("SIGTERM", () => process.exit(0));

/** Two sockets, so that an IPv4 peer's address is not written as an IPv6 one. */
function listen(port: number): void {
  createServer({ allowHalfOpen: true }, converse).listen({ port, host: "0.0.0.0" });
  createServer({ allowHalfOpen: true }, converse).listen({ port, host: "::", ipv6Only: true });
}

function converse(socket: Socket): void {
  const answer = `${name} ${socket.remoteAddress}\n`;
  let pending = "";
  socket.on("error", () => socket.destroy());
  socket.on("end", () => socket.end());
  socket.on("data", (chunk) => {
    pending += chunk.toString("latin1");
    if (/^[A-Z]+ \S+ HTTP\//.test(pending)) return respond(socket, pending, answer);
    const lines = pending.split("\n");
    pending = lines.pop() ?? "";
    socket.write(answer.repeat(lines.length));
  });
}

function respond(socket: Socket, request: string, answer: string): void {
  if (!request.includes("\r\n\r\n")) return;
  const head = [
    "HTTP/1.1 200 OK",
    "Content-Type: text/plain",
    `Content-Length: ${answer.length}`,
    "Connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${answer}`);
}

function answerDatagrams(port: number): void {
  for (const [type, address] of [
    ["udp4", "0.0.0.0"],
    ["udp6", "::"],
  ] as const) {
    const socket = createSocket({ type, ipv6Only: type === "udp6" });
    socket.on("message", (_, peer) => socket.send(`${name} ${peer.address}\n`, peer.port, peer.address));
    socket.bind({ port, address });
  }
}
