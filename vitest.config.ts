import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** One runner, four projects: pure code and runner, real PostgreSQL, real workerd, and the whole product. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "node",
          include: [
            "tests/*.test.ts",
            "tests/{core,protocol,runner,cli,sim,properties,faults}/**/*.test.ts",
            "tests/conformance/*.test.ts",
          ],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: "db",
          include: ["tests/db/**/*.test.ts"],
          globalSetup: ["./tests/support/postgres-setup.ts"],
          testTimeout: 30_000,
          hookTimeout: 60_000,
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
            },
          }),
        ],
        test: { name: "edge", include: ["tests/edge/**/*.test.ts"] },
      },
      {
        test: {
          name: "e2e",
          include: ["tests/e2e/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
