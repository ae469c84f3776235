import { defineConfig } from "vitest/config";

/** Engines that need more than `npm ci`: `tests/engines/run` makes their environment and calls this. */
export default defineConfig({
  test: {
    name: "engines",
    include: ["tests/engines/diffusers/*.test.ts"],
    // Both files at once, also on two cores: either spends much of its time waiting.
    maxWorkers: 2,
    globalSetup: ["tests/engines/diffusers/tiny-models-setup.ts"],
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
