/** Puts a hostile request on a wire and says what came back. A raw socket, because no client would send these. */
import { connect } from "node:net";
import type { HostileRequest } from "./hostile-request.ts";

/** How long a whole request may go unanswered before that counts as silence. */
const ANSWER_MS = 30_000;
/** An unfinished request is left alone for so long, and then cut from this side. */
const UNFINISHED_MS = 20;

export interface Outcome {
  /** null: the connection was closed without an answer. */
  readonly status: number | null;
  /** True: it was asked rightly and nothing came, not even an end. */
  readonly silent: boolean;
  readonly ms: number;
}

export async function sendRaw(port: number, request: HostileRequest): Promise<Outcome> {
  const startedMs = performance.now();
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  let head = "";
  let silent = false;
  socket.on("error", () => undefined);
  socket.on("data", (data) => {
    if (head.length < 64) head += data.toString("latin1").slice(0, 64);
  });
  const timer = setTimeout(() => {
    silent = true;
    socket.destroy();
  }, ANSWER_MS);
  // Not `once`, to which an error is a failure: a reset is an end like any other.
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.write(bytesOf(request));
  if (hangs(request)) setTimeout(() => socket.destroy(), UNFINISHED_MS);
  await closed;
  clearTimeout(timer);
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1];
  return {
    status: status === undefined ? null : Number(status),
    silent: silent && !hangs(request),
    ms: performance.now() - startedMs,
  };
}

/** Whoever announces more than he sends keeps a server waiting, which it may. */
function hangs({ framing, headers }: HostileRequest): boolean {
  return framing === "long" || framing === "unfinished" || headers.some(([name]) => name === "upgrade");
}

function bytesOf({ method, path, headers, body, framing }: HostileRequest): Buffer {
  const all = [["host", "127.0.0.1"], ["connection", "close"], ...headers, ...framingHeaders(body, framing)];
  const head = `${method} ${path} HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), framed(body ?? Buffer.alloc(0), framing)]);
}

function framingHeaders(body: Buffer | null, framing: HostileRequest["framing"]): string[][] {
  if (body === null) return [];
  const length = ["content-length", String(body.length)];
  const chunked = ["transfer-encoding", "chunked"];
  switch (framing) {
    case "length":
      return [length];
    case "short":
      return [["content-length", String(Math.max(0, body.length - 1))]];
    case "long":
      return [["content-length", String(body.length + 1_000_000)]];
    case "negative":
      return [["content-length", "-1"]];
    case "twice":
      return [length, ["content-length", "0"]];
    case "both":
      return [length, chunked];
    case "chunked":
    case "bad_chunk":
    case "unfinished":
      return [chunked];
    default:
      return framing satisfies never;
  }
}

function framed(body: Buffer, framing: HostileRequest["framing"]): Buffer {
  const chunk = Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from("\r\n")]);
  if (framing === "chunked" || framing === "both") {
    return Buffer.concat([...(body.length === 0 ? [] : [chunk]), Buffer.from("0\r\n\r\n")]);
  }
  if (framing === "bad_chunk") return Buffer.concat([Buffer.from("zz\r\n"), body]);
  return framing === "unfinished" ? chunk : body;
}
