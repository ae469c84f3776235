/** One stack for every attack on the whole product: real workerd, control plane, PostgreSQL and one runner. */
import type { TestProject } from "vitest/node";
import { Product } from "#tests/support/product.ts";
import type { DevFile } from "#tests/support/product.ts";

declare module "vitest" {
  interface ProvidedContext {
    readonly stack: { readonly home: string; readonly dev: DevFile; readonly output: string };
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const product = await Product.start({ CALLSHEET_RUNNERS: "1", CALLSHEET_RUNNER_DEVICES: "2x80gb" });
  project.provide("stack", { home: product.home, dev: product.dev, output: product.output });
  return () => product.stop();
}
