/** A slice of `npm run attack:requests`: what it is, and how to run the whole, is in `docs/security-tests.md`. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { controlPlaneOf } from "#tests/support/product.ts";
import type { Product } from "#tests/support/product.ts";
import { assault } from "../attack/assault.ts";
import { joinStack } from "../stack.ts";

const REQUESTS = 2_000;
const SEED = 20_261_129;

let product: Product;
beforeAll(() => {
  product = joinStack();
});
afterAll(() => product.stop());

test("two thousand generated hostile requests get no 5xx and no silence, and every part lives on", async () => {
  const seen = await assault(product, await controlPlaneOf(product), REQUESTS, SEED);
  expect(seen.failures).toEqual([]);
  expect(seen).toMatchObject({ failed: 0, overloaded: 0, restarts: [] });
  // It was a storm that got in, and not one that the door kept out.
  expect(seen.answers.get("2xx")).toBeGreaterThan(20);
  expect(seen.answers.get("4xx")).toBeGreaterThan(1_000);
});
