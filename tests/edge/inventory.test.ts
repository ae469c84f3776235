import { expect, test } from "vitest";
import { OPERATIONS } from "#protocol/openapi.ts";
import app from "#edge/worker.ts";

test("every public route is documented, and every documented route is served", () => {
  const documented = Object.entries(OPERATIONS).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const served = app.routes
    // `ALL` rows are middleware and refusals.
    .filter((route) => route.method !== "ALL" && route.path.startsWith("/v1/"))
    .map((route) => `${route.method} ${route.path.replaceAll(/:(\w+)/g, "{$1}")}`);
  expect([...new Set(served)].toSorted()).toEqual(documented.toSorted());
});
