/** What one case plays on: the running product behind a recording proxy, an account of its own, and the unmodified SDK. */
import assert from "node:assert/strict";
import OpenAI from "openai";
import type { Video, VideoCreateParams } from "openai/resources/videos";
import type { Product } from "#tests/support/product.ts";
import { until } from "#tests/support/product.ts";
import { RecordingProxy } from "#tests/support/recording-proxy.ts";
import type { WebhookReceiver } from "#tests/support/webhook-receiver.ts";

const COMPLETED_WITHIN_MS = 60_000;

/** A video of a fraction of a second's work. The SDK's types know only the sizes and durations of one vendor. */
export const TINY = {
  prompt: "a red fox in the snow",
  size: "320x192",
  seconds: "1",
  steps: 8,
} as unknown as VideoCreateParams;
/** A video that holds its device until it is told to stop. */
export const ENDLESS = { ...TINY, prompt: "!idle=200 a snail crosses a road", steps: 100 } as VideoCreateParams;

export class Stage {
  readonly product: Product;
  readonly proxy: RecordingProxy;
  readonly receiver: WebhookReceiver;
  readonly account: { readonly id: string; readonly apiKey: string };

  static async open(product: Product, receiver: WebhookReceiver, tier = "pro"): Promise<Stage> {
    const [proxy, account] = await Promise.all([RecordingProxy.to(product.dev.edge_url), product.account(tier)]);
    return new Stage(product, receiver, proxy, account);
  }

  private constructor(product: Product, receiver: WebhookReceiver, proxy: RecordingProxy, account: Stage["account"]) {
    this.product = product;
    this.receiver = receiver;
    this.proxy = proxy;
    this.account = account;
  }

  /** Only `baseURL` and key are ours; retries and everything else are the SDK's defaults. */
  client(apiKey = this.account.apiKey): OpenAI {
    return new OpenAI({ baseURL: `${this.proxy.url}/v1`, apiKey });
  }

  async made(body: VideoCreateParams = TINY, client = this.client()): Promise<Video> {
    return this.completed((await client.videos.create(body)).id, client);
  }

  completed(id: string, client = this.client()): Promise<Video> {
    return until(`${id} is completed`, COMPLETED_WITHIN_MS, async () => {
      const video = await client.videos.retrieve(id);
      assert.notEqual(video.status, "failed", JSON.stringify(video.error));
      return video.status === "completed" && video;
    });
  }

  reaches(id: string, status: Video["status"]): Promise<Video> {
    return until(`${id} is ${status}`, COMPLETED_WITHIN_MS, async () => {
      const video = await this.client().videos.retrieve(id);
      return video.status === status && video;
    });
  }

  /** Ends what the case left running, so that the next one finds free devices. */
  async close(): Promise<void> {
    const unfinished = await this.product.sql<{ id: string }[]>`
      select id from job where account_id = ${this.account.id} and finished_at is null and deleted_at is null`;
    await Promise.all(unfinished.map(({ id }) => this.client().videos.delete(id)));
    await this.proxy.close();
  }
}

/** What a call throws; a call that does not throw fails the case. */
export async function thrownBy(call: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await call;
  } catch (error) {
    if (error instanceof OpenAI.APIError) return error;
    throw error;
  }
  return assert.fail("the call was expected to throw, and did not");
}

/** The SDK's class, our code, and how often it asked. */
export function assertRefused(
  error: InstanceType<typeof OpenAI.APIError>,
  kind: new (...args: never[]) => unknown,
  code: string,
  param: string | null = null,
): void {
  assert.ok(error instanceof kind, `${error.constructor.name} is not ${kind.name}: ${error.message}`);
  assert.equal(error.code, code);
  assert.equal(error.param, param);
  assert.match(error.requestID ?? "", /^req_/);
}
