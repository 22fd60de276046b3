/** What one would write without an addon: `a.pipe(b)` in both directions. usage: pipe-proxy.ts PORT TO-ADDRESS TO-PORT */
import { connect, createServer } from "node:net";

const [port, host, toPort] = process.argv.slice(2);

createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const upstream = connect({ host: host ?? "", port: Number(toPort), allowHalfOpen: true, noDelay: true });
  client.pipe(upstream).pipe(client);
  client.on("error", () => upstream.resetAndDestroy());
  upstream.on("error", () => client.resetAndDestroy());
}).listen(Number(port), "127.0.0.1");
