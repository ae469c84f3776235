/** One stack for every attack on the whole product: real workerd, control plane, PostgreSQL and one runner. */
import type { TestProject } from "vitest/node";
import { Product, until } from "#tests/support/product.ts";
import type { DevFile } from "#tests/support/product.ts";

declare module "vitest" {
  interface ProvidedContext {
    readonly stack: { readonly home: string; readonly dev: DevFile; readonly output: string };
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const product = await Product.start({ CALLSHEET_RUNNERS: "1", CALLSHEET_RUNNER_DEVICES: "2x80gb" });
  // What it prints is looked at too, and printed after it is up.
  await until("it has said where it is", 10_000, async () => product.output.includes("Ctrl-C"));
  project.provide("stack", { home: product.home, dev: product.dev, output: product.output });
  return () => product.stop();
}
