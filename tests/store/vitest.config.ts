import { defineConfig } from "vitest/config";

/** Stores that need a server of their own: `tests/store/run` starts it and calls this. */
export default defineConfig({
  test: {
    name: "stores",
    include: ["tests/store/*.test.ts"],
    globalSetup: ["tests/store/s3-setup.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
