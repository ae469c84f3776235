import { defineConfig } from "vitest/config";

/** Engines that need more than `npm ci`: `tests/engines/run` makes their environment and calls this. */
export default defineConfig({
  test: {
    name: "engines",
    include: ["tests/engines/diffusers/*.test.ts"],
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
