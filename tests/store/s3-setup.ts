/** An S3 server (moto, from `tests/store/requirements.txt`) for all tests of this folder. */
import { spawn } from "node:child_process";
import type { TestProject } from "vitest/node";
import { freePort } from "#cli/free-port.ts";
import { until } from "#tests/support/product.ts";

declare module "vitest" {
  interface ProvidedContext {
    s3: string;
  }
}

const UP_MS = 60_000;

export async function setup(project: TestProject): Promise<() => void> {
  const port = await freePort();
  const python = process.env["CALLSHEET_S3_PYTHON"] ?? "python3";
  const server = spawn(python, ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
  const url = `http://127.0.0.1:${port}`;
  await until("the S3 server is up", UP_MS, async () => {
    if (server.exitCode !== null) throw new Error(`the S3 server ended with ${server.exitCode}`);
    return fetch(url).then(
      (answer) => answer.status < 500,
      () => false,
    );
  });
  project.provide("s3", url);
  return () => {
    server.kill("SIGKILL");
  };
}
