/**
 * A child's log: every line goes to a bounded file, warnings and errors also to the terminal.
 *
 * Children of ours write JSON lines (pino levels: 40 warn, 50 error); anything else on stderr is shown as it is.
 */
import { createWriteStream, renameSync, type WriteStream } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { z } from "zod";

const FILE_BYTES_MAX = 32 * 1024 * 1024;
const WARN = 40;
const TAIL_LINES = 12;

const LogLine = z.looseObject({ level: z.number(), msg: z.string().default("") });

export class LogFile {
  readonly path: string;
  readonly #surface: (text: string) => void;
  #stream: WriteStream;
  #bytes = 0;
  #tail: string[] = [];

  constructor(path: string, surface: (text: string) => void) {
    this.path = path;
    this.#surface = surface;
    this.#stream = createWriteStream(path, { flags: "w" });
  }

  /** Reads a child's output until it ends. */
  follow(output: Readable, isError: boolean): void {
    createInterface({ input: output }).on("line", (line) => {
      this.#write(line);
      const shown = surfaced(line, isError);
      if (shown !== null) this.#surface(shown);
    });
  }

  /** The last lines, for the message of a start that failed. */
  tail(): string {
    return this.#tail.join("\n");
  }

  #write(line: string): void {
    this.#tail = [...this.#tail.slice(1 - TAIL_LINES), line];
    this.#bytes += line.length + 1;
    if (this.#bytes > FILE_BYTES_MAX) {
      this.#stream.end();
      renameSync(this.path, `${this.path}.1`);
      this.#stream = createWriteStream(this.path, { flags: "w" });
      this.#bytes = line.length + 1;
    }
    this.#stream.write(`${line}\n`);
  }
}

/** What the user should see of a log line: `warn: …`, or null. */
export function surfaced(line: string, isError: boolean): string | null {
  if (!line.startsWith("{")) return isError && line.trim() !== "" ? line : null;
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    // Not one of our log lines after all.
    return isError ? line : null;
  }
  const parsed = LogLine.safeParse(json);
  if (!parsed.success || parsed.data.level < WARN) return null;
  const { level, msg, time: _time, pid: _pid, hostname: _host, program: _program, err, ...fields } = parsed.data;
  const cause = z.object({ message: z.string() }).safeParse(err);
  const details = Object.keys(fields).length === 0 ? "" : ` ${JSON.stringify(fields)}`;
  return `${level > WARN ? "error" : "warn"}: ${msg}${cause.success ? ` (${cause.data.message})` : ""}${details}`;
}
