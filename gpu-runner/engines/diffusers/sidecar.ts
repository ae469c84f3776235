/**
 * One sidecar process: spawned in a group of its own, spoken to in lines, ended as a whole.
 *
 * It is heard until it ends, says something else than an event, skips an event, or stops answering pings; then `ended` is
 * told once, and the group is gone or going. Its own words to people go to our standard error.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { reasonOf } from "../../storage-fault.ts";
import { SIDECAR_PROTOCOL, SidecarEvent, type SidecarOrder } from "./sidecar-message.ts";

const PROGRAM = fileURLToPath(new URL("start.py", import.meta.url));
const LINE_CHARS_MAX = 1024 * 1024;
const PING_MS = 5_000;
/** Python cannot answer while one of its libraries holds the interpreter, e.g. to read weights. */
const PONG_MS_MAX = 120_000;
/** Importing torch from a cold disk takes its time. */
const HELLO_MS_MAX = 300_000;

export interface SidecarEnd {
  readonly code: "exited" | "stdout_garbage" | "hung_process" | "wrong_protocol";
  readonly detail: string;
}

export interface SidecarOwner {
  event(event: SidecarEvent): void;
  ended(why: SidecarEnd): void;
}

export interface SidecarOptions {
  readonly python: string;
  /** Which of the host's GPUs it sees; null: all of them. */
  readonly gpu: number | null;
  /** Main memory for models that it put aside. */
  readonly shelfBytes: number;
}

export class Sidecar {
  readonly #child: ChildProcess;
  readonly #owner: SidecarOwner;
  readonly #pings: NodeJS.Timeout;
  #line = "";
  #seq = 0;
  #pinged = 0;
  #heardAt = performance.now();
  #greeted = false;
  #over = false;
  /** When the process is gone, and with it what it held. */
  readonly gone: Promise<void>;

  constructor({ python, gpu, shelfBytes }: SidecarOptions, owner: SidecarOwner) {
    this.#owner = owner;
    const gone = Promise.withResolvers<void>();
    this.gone = gone.promise;
    // `-B`: nothing is written beside the sources, which may be read-only.
    const asked = [...(gpu === null ? [] : ["--gpu", String(gpu)]), "--shelf-bytes", String(shelfBytes)];
    this.#child = spawn(python, ["-B", PROGRAM, ...asked], {
      stdio: ["pipe", "pipe", "inherit"],
      detached: true,
    });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#read(text));
    // A pipe that breaks is reported by the exit.
    this.#child.stdin?.on("error", () => undefined);
    this.#child.on("error", (fault) => {
      gone.resolve();
      this.#end({ code: "exited", detail: `it could not be started: ${reasonOf(fault)}` });
    });
    this.#child.on("exit", (code, signal) => {
      gone.resolve();
      this.#end({ code: "exited", detail: `the engine process ended (${signal ?? code})` });
    });
    this.#pings = setInterval(() => this.#ping(), PING_MS);
  }

  get pid(): number | null {
    return this.#child.pid ?? null;
  }

  tell(order: SidecarOrder): void {
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  /** The whole group, at once; `ended` is not told. */
  kill(): void {
    this.#over = true;
    clearInterval(this.#pings);
    const { pid } = this.#child;
    if (pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // ESRCH: it ended by itself just now.
    }
  }

  #end(why: SidecarEnd): void {
    if (this.#over) return;
    this.kill();
    this.#owner.ended(why);
  }

  #ping(): void {
    const silentMs = performance.now() - this.#heardAt;
    if (silentMs > (this.#greeted ? PONG_MS_MAX : HELLO_MS_MAX)) {
      return this.#end({ code: "hung_process", detail: `no word for ${Math.round(silentMs)} ms` });
    }
    if (this.#greeted) this.tell({ t: "ping", n: ++this.#pinged });
  }

  #read(text: string): void {
    const lines = `${this.#line}${text}`.split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) this.#hear(line);
    if (this.#line.length > LINE_CHARS_MAX) this.#garbage(this.#line, "the line does not end");
  }

  #hear(line: string): void {
    if (this.#over) return;
    let event: SidecarEvent;
    try {
      event = SidecarEvent.parse(JSON.parse(line));
    } catch (fault) {
      return this.#garbage(line, reasonOf(fault));
    }
    if (event.seq !== this.#seq++) return this.#garbage(line, `event ${this.#seq - 1} is missing`);
    this.#heardAt = performance.now();
    if (event.t === "hello") {
      if (event.protocol !== SIDECAR_PROTOCOL) {
        return this.#end({ code: "wrong_protocol", detail: `it speaks ${event.protocol}, not ${SIDECAR_PROTOCOL}` });
      }
      this.#greeted = true;
    }
    this.#owner.event(event);
  }

  #garbage(line: string, why: string): void {
    this.#end({ code: "stdout_garbage", detail: `${why}: ${line.slice(0, 200)}` });
  }
}
