/** One open watch: a reply that stays open and takes one JSON line for every event. */
import type { ServerResponse } from "node:http";
import type { JsonObject } from "./json.ts";
import type { Target } from "./paths.ts";

export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: JsonObject;
}

/** A reader that lags this far behind is dropped, as the real server does. */
const maxBufferedBytes = 64 * 1024 * 1024;

export class WatchStream {
  readonly target: Target;
  readonly #response: ServerResponse;
  #silent = false;

  constructor(target: Target, response: ServerResponse) {
    this.target = target;
    this.#response = response;
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
  }

  send(event: WatchEvent): void {
    this.sendLine(JSON.stringify(event));
  }

  /** `text` need not be an event, nor JSON. */
  sendLine(text: string): void {
    if (this.#silent || this.#response.writableEnded || this.#response.destroyed) return;
    if (this.#response.writableLength > maxBufferedBytes) this.#response.destroy();
    else this.#response.write(`${text}\n`);
  }

  /** Ends the reply properly: the reader watches again from where it was. */
  end(): void {
    if (!this.#silent) this.#response.end();
  }

  /** Resets the TCP connection. */
  reset(): void {
    this.#response.socket?.resetAndDestroy();
  }

  /** From now on nothing is sent, not even the end; the connection stays open. */
  silence(): void {
    this.#silent = true;
  }

  onClose(action: () => void): void {
    this.#response.on("close", action);
  }
}
