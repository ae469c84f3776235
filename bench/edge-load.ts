/**
 * A closed-loop load over kept connections, in a process of its own: each connection sends its next call when it has the
 * answer to the last one. Started by `edge.ts` with a `LoadOrder`, answers with a `LoadSeen`.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";

export interface LoadOrder {
  readonly port: number;
  readonly path: string;
  /** Sent in turns, one a call. */
  readonly keys: readonly string[];
  readonly connections: number;
  readonly forMs: number;
}
export interface LoadSeen {
  readonly calls: number;
  readonly ms: number;
  /** Status → answers. */
  readonly statuses: Readonly<Record<string, number>>;
}

const HEAD_END = "\r\n\r\n";

process.once("message", (order: LoadOrder) => {
  void run(order).then((seen) => process.send?.(seen, () => process.disconnect?.()));
});

async function run({ port, path, keys, connections, forMs }: LoadOrder): Promise<LoadSeen> {
  const calls = keys.map(
    (key) =>
      `GET ${path} HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer ${key}\r\nUser-Agent: OpenAI/JS 7.57.0\r\n\r\n`,
  );
  const statuses: Record<string, number> = {};
  let sent = 0;
  let answered = 0;
  const startMs = performance.now();
  const one = (): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const socket: Socket = connect(port, "127.0.0.1");
    socket.setNoDelay(true);
    socket.setEncoding("latin1");
    let text = "";
    const next = () => socket.write(calls[sent++ % calls.length] ?? "");
    socket.on("connect", next);
    socket.on("error", reject);
    socket.on("data", (piece: string) => {
      text += piece;
      const size = sizeOf(text);
      if (size === null || text.length < size) return;
      const status = text.slice(9, 12);
      statuses[status] = (statuses[status] ?? 0) + 1;
      answered += 1;
      text = "";
      if (performance.now() - startMs < forMs) next();
      else {
        socket.end();
        resolve();
      }
    });
    return promise;
  };
  await Promise.all(Array.from({ length: connections }, one));
  return { calls: answered, ms: performance.now() - startMs, statuses };
}

/** Of the whole answer; null while its head is not there. */
function sizeOf(text: string): number | null {
  const head = text.indexOf(HEAD_END);
  if (head < 0) return null;
  const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1];
  if (length === undefined) throw new Error(`an answer without a length: ${text.slice(0, head)}`);
  return head + HEAD_END.length + Number(length);
}
