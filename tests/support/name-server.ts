/** A real name server on loopback (UDP): answers A and AAAA as it is told, question by question. */
import { createSocket } from "node:dgram";
import type { Socket } from "node:dgram";
import { once } from "node:events";
import { Resolver } from "node:dns/promises";
import { isIPv4 } from "node:net";

const A = 1;
const AAAA = 28;
const HEADER_BYTES = 12;

/** The addresses of this answer; null gives none at all, not even an empty one. */
export type Zone = (name: string, asked: number) => readonly string[] | null;

export class NameServer {
  readonly #socket: Socket = createSocket("udp4");
  readonly #asked = new Map<string, number>();

  static async start(zone: Zone): Promise<NameServer> {
    const server = new NameServer();
    server.#socket.on("message", (question, from) => {
      const answer = server.#answer(question, zone);
      if (answer !== null) server.#socket.send(answer, from.port, from.address);
    });
    server.#socket.bind(0, "127.0.0.1");
    await once(server.#socket, "listening");
    return server;
  }

  /** A resolver that asks only this server. */
  resolver(timeoutMs = 500): Resolver {
    const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
    resolver.setServers([`127.0.0.1:${this.#socket.address().port}`]);
    return resolver;
  }

  stop(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }

  #answer(question: Buffer, zone: Zone): Buffer | null {
    const labels: string[] = [];
    let at = HEADER_BYTES;
    for (let length = question.readUInt8(at); length !== 0; length = question.readUInt8(at)) {
      labels.push(question.toString("latin1", at + 1, at + 1 + length));
      at += 1 + length;
    }
    const type = question.readUInt16BE(at + 1);
    const asked = question.subarray(HEADER_BYTES, at + 5);
    const name = labels.join(".").toLowerCase();
    const count = (this.#asked.get(`${name} ${type}`) ?? 0) + 1;
    this.#asked.set(`${name} ${type}`, count);
    const addresses = zone(name, count);
    if (addresses === null) return null;
    const records = addresses.filter((address) => (isIPv4(address) ? A : AAAA) === type).map(record);
    const header = Buffer.alloc(HEADER_BYTES);
    question.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x81_80, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    return Buffer.concat([header, asked, ...records]);
  }
}

/** Of the name in the question, to be forgotten at once. */
function record(address: string): Buffer {
  const bytes = bytesOf(address);
  const head = Buffer.from([0xc0, HEADER_BYTES, 0, bytes.length === 4 ? A : AAAA, 0, 1, 0, 0, 0, 0, 0, bytes.length]);
  return Buffer.concat([head, bytes]);
}

function bytesOf(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split(".").map(Number));
  const [left = "", right] = address.split("::");
  const words = (part: string) => (part === "" ? [] : part.split(":").map((word) => Number.parseInt(word, 16)));
  const [head, tail] = [words(left), words(right ?? "")];
  const all = right === undefined ? head : [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  return Buffer.from(all.flatMap((word) => [word >> 8, word & 0xff]));
}
