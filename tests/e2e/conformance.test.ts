/** The conformance suite with the official SDK, line by line; `npm run conformance` prints it as a report. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Case } from "#tests/conformance/case.ts";
import { play } from "#tests/conformance/play.ts";
import { SUITE } from "#tests/conformance/suite.ts";
import { Product } from "#tests/support/product.ts";
import { WebhookReceiver } from "#tests/support/webhook-receiver.ts";

let product: Product;
let receiver: WebhookReceiver;
beforeAll(async () => {
  [product, receiver] = await Promise.all([Product.start(), WebhookReceiver.start()]);
});
afterAll(async () => {
  await receiver.stop();
  await product.stop();
});

const named = (lines: readonly Case[]) => lines.map((line) => [line.call, line.title, line] as const);

test.each(named(SUITE.filter(({ pending }) => pending === undefined)))("%s: %s", async (_call, _title, line) => {
  expect(await play(line, product, receiver)).toEqual([]);
});

/** What is not built yet must fail: a line that passes has lost its reason to be marked as pending. */
test.each(named(SUITE.filter(({ pending }) => pending !== undefined)))(
  "not yet: %s: %s",
  async (_call, _title, line) => {
    await expect(play(line, product, receiver)).rejects.toThrow();
  },
);
