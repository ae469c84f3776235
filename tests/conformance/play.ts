/** Plays one line on an account of its own; throws if it does not hold, and answers what it saw that the OpenAPI document does not say. */
import type { Product } from "#tests/support/product.ts";
import type { WebhookReceiver } from "#tests/support/webhook-receiver.ts";
import type { Case } from "./case.ts";
import { undocumentedIn } from "./documented.ts";
import { Stage } from "./stage.ts";

export async function play(line: Case, product: Product, receiver: WebhookReceiver): Promise<readonly string[]> {
  const stage = await Stage.open(product, receiver, line.tier);
  try {
    await line.check(stage);
  } finally {
    await stage.close();
  }
  return undocumentedIn(stage.proxy.exchanges);
}
