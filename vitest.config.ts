import { availableParallelism } from "node:os";
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** Ends what hangs; a busy machine is no reason to fail. */
const HANG_MS = 120_000;

/** One runner, five projects: pure code and runner, real PostgreSQL, real workerd, the whole product, and attacks on it. */
export default defineConfig({
  test: {
    // One on two cores is vitest's own choice; tests wait for processes of theirs more than they compute.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      {
        test: {
          name: "node",
          include: [
            "tests/*.test.ts",
            "tests/{core,protocol,runner,cli,sim,properties,faults}/**/*.test.ts",
            "tests/engines/*.test.ts",
            "tests/engines/openai-video/*.test.ts",
            "tests/security/core/**/*.test.ts",
          ],
          testTimeout: HANG_MS,
        },
      },
      {
        test: {
          name: "db",
          include: ["tests/db/**/*.test.ts"],
          globalSetup: ["./tests/support/postgres-setup.ts"],
          testTimeout: HANG_MS,
          hookTimeout: HANG_MS,
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              bindings: {
                EDGE_SIGNING_SECRET: "only-for-tests-0123456789abcdef0123456789abcdef",
                CONTROL_PLANE_URLS: "http://control-plane-a.test,http://control-plane-b.test",
              },
              ratelimits: { TEST_SHIELD: { namespace_id: "1", simple: { limit: 3, period: 60 } } },
            },
          }),
        ],
        test: { name: "edge", include: ["tests/edge/**/*.test.ts"], testTimeout: HANG_MS },
      },
      {
        test: {
          name: "e2e",
          include: ["tests/e2e/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: HANG_MS,
          hookTimeout: HANG_MS,
        },
      },
      {
        test: {
          name: "security",
          include: ["tests/security/stack/**/*.test.ts"],
          globalSetup: ["./tests/security/stack-setup.ts"],
          fileParallelism: false,
          testTimeout: HANG_MS,
          hookTimeout: HANG_MS,
        },
      },
    ],
  },
});
