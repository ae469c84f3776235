/**
 * A video server that the runner starts itself: in a process group of its own, ended as a whole.
 *
 * A shell stands between, because such servers are many processes and must not outlive a runner that was killed: it reads a pipe of
 * the runner's, and when that closes it kills the group.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";

const KEEPER = `exec 3<&0
(cat <&3 >/dev/null; kill -KILL 0) &
"$@" 3<&- </dev/null
echo "the video server ended with $?" >&2
kill -KILL 0`;

export class ServerProcess {
  readonly url: string;
  readonly #child: ChildProcess;
  /** Resolves once its first process is gone. */
  readonly gone: Promise<void>;
  #over = false;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.url = `http://127.0.0.1:${port}`;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.gone = promise;
    const ended = (): void => {
      this.#over = true;
      resolve();
    };
    child.once("error", ended);
    child.once("exit", ended);
  }

  /** `{port}` of the command becomes a free one; `gpu` is the UUID of the one that it may use, null: whatever it finds. */
  static async start(command: readonly string[], gpu: string | null): Promise<ServerProcess> {
    const port = await freePort();
    const words = command.map((word) => word.replaceAll("{port}", String(port)));
    const own = gpu === null ? [] : ["env", `CUDA_VISIBLE_DEVICES=${gpu}`];
    // What it prints goes to our standard error: standard output belongs to nobody here.
    const args = ["-c", KEEPER, "callsheet-server", ...own, ...words];
    const child = spawn("sh", args, { detached: true, stdio: ["pipe", 2, 2] });
    child.stdin?.on("error", () => undefined);
    return new ServerProcess(child, port);
  }

  get pid(): number | null {
    return this.#child.pid ?? null;
  }

  get ended(): boolean {
    return this.#over;
  }

  /** The whole group. */
  kill(): void {
    const { pid } = this.#child;
    if (this.#over || pid === undefined) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // ESRCH: it ended by itself just now.
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port is free");
  return address.port;
}
