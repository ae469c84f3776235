/**
 * A client of HTTP/1.1 that costs little: keep-alive connections, at most so many, one request at a time on each. What finds all
 * of them busy waits its turn here, and its caller's clock runs.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";

export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

interface Asked {
  readonly request: string;
  /** Null: the connection broke before an answer was complete. */
  readonly answered: (answer: Answer | null) => void;
}

interface Line {
  readonly socket: Socket;
  asked: Asked | null;
  received: string;
}

export class Wire {
  readonly #host: string;
  readonly #port: number;
  readonly #connectionsMax: number;
  readonly #lines = new Set<Line>();
  readonly #idle: Line[] = [];
  readonly #waiting: Asked[] = [];

  constructor(url: URL, connectionsMax: number) {
    this.#host = url.hostname;
    this.#port = Number(url.port);
    this.#connectionsMax = connectionsMax;
  }

  get open(): number {
    return this.#lines.size;
  }

  /** Never rejects. */
  ask(request: string): Promise<Answer | null> {
    return new Promise((answered) => {
      this.#waiting.push({ request, answered });
      this.#next();
    });
  }

  close(): void {
    for (const { socket } of this.#lines) socket.destroy();
  }

  #next(): void {
    while (this.#waiting.length > 0) {
      const line = this.#idle.pop() ?? (this.#lines.size < this.#connectionsMax ? this.#dial() : null);
      if (line === null) return;
      const asked = this.#waiting.shift();
      if (asked === undefined) return;
      line.asked = asked;
      line.socket.write(asked.request);
    }
  }

  #dial(): Line {
    const socket = connect(this.#port, this.#host).setNoDelay(true).setEncoding("latin1");
    const line: Line = { socket, asked: null, received: "" };
    this.#lines.add(line);
    socket.on("data", (text: string) => this.#heard(line, text));
    socket.on("error", () => undefined); // `close` follows.
    socket.on("close", () => {
      this.#lines.delete(line);
      const index = this.#idle.indexOf(line);
      if (index >= 0) this.#idle.splice(index, 1);
      line.asked?.answered(null);
      line.asked = null;
      this.#next();
    });
    return line;
  }

  #heard(line: Line, text: string): void {
    line.received += text;
    const answer = readAnswer(line.received);
    if (answer === null || line.asked === null) return;
    const { answered } = line.asked;
    line.received = "";
    line.asked = null;
    if (answer.headers.get("connection") === "close") line.socket.end();
    else this.#idle.push(line);
    answered(answer);
    this.#next();
  }
}

/** Null while it is not complete. */
function readAnswer(text: string): Answer | null {
  const head = text.indexOf("\r\n\r\n");
  if (head < 0) return null;
  const [first = "", ...lines] = text.slice(0, head).split("\r\n");
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  const rest = text.slice(head + 4);
  const status = Number(first.split(" ", 2)[1]);
  const length = headers.get("content-length");
  if (length !== undefined) return rest.length < Number(length) ? null : { status, headers, body: rest };
  return headers.get("transfer-encoding") === "chunked"
    ? unchunked(status, headers, rest)
    : { status, headers, body: "" };
}

function unchunked(status: number, headers: Answer["headers"], text: string): Answer | null {
  let body = "";
  for (let at = 0; ;) {
    const end = text.indexOf("\r\n", at);
    if (end < 0) return null;
    const bytes = Number.parseInt(text.slice(at, end), 16);
    if (text.length < end + 2 + bytes + 2) return null;
    if (bytes === 0) return { status, headers, body };
    body += text.slice(end + 2, end + 2 + bytes);
    at = end + 2 + bytes + 2;
  }
}
