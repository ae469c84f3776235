/**
 * Asks the operator's moderation hook: one POST, signed like a webhook (Standard Webhooks headers), one small JSON answer.
 * Whatever is not a verdict in time is none: a redirect, another status, a long, slow or malformed answer.
 */
import { Webhook } from "standardwebhooks";
import { z } from "zod";
import type { PromptToJudge, ResultToJudge, Verdict } from "#control-plane/core/moderation.ts";

/** A submit waits for it, and the edge gives a try of a submit five seconds. */
const PROMPT_MS_MAX = 3_000;
/** The hook has to read the video first. */
const RESULT_MS_MAX = 30_000;
const ANSWER_BYTES_MAX = 16 * 1024;

const Policy = z.string().regex(/^[\w.:-]{1,64}$/);
const Answer = z.discriminatedUnion("allowed", [
  z.object({ allowed: z.literal(true), policy: Policy }),
  z.object({ allowed: z.literal(false), policy: Policy, reason: z.string().regex(/^[\w.:-]{1,64}$/) }),
]);

export interface HookSettings {
  readonly url: string;
  /** As of a webhook: `whsec_` and base64. */
  readonly secret: string;
  readonly mintId: () => string;
  readonly now: () => number;
  /** Why there was no verdict. Nothing of what was judged is in it. */
  readonly failed: (what: "prompt" | "result", error: unknown) => void;
}

export class ModerationHook {
  readonly #settings: HookSettings;
  readonly #signer: Webhook;

  constructor(settings: HookSettings) {
    this.#settings = settings;
    this.#signer = new Webhook(settings.secret);
  }

  judgePrompt({ account, model, prompt, negativePrompt, reference }: PromptToJudge): Promise<Verdict | null> {
    const data = {
      account_id: account,
      model,
      prompt,
      negative_prompt: negativePrompt,
      reference: reference === null ? null : { sha256: reference.sha256, media_type: reference.mediaType },
    };
    return this.#ask("prompt", data, PROMPT_MS_MAX);
  }

  judgeResult({ video, account, prompt, sha256, bytes, url }: ResultToJudge): Promise<Verdict | null> {
    const data = { video_id: video, account_id: account, prompt, sha256, bytes, media_type: "video/mp4", url };
    return this.#ask("result", data, RESULT_MS_MAX);
  }

  async #ask(what: "prompt" | "result", data: object, msMax: number): Promise<Verdict | null> {
    try {
      return await this.#post(JSON.stringify({ type: `moderation.${what}`, data }), msMax);
    } catch (error) {
      this.#settings.failed(what, error);
      return null;
    }
  }

  async #post(body: string, msMax: number): Promise<Verdict> {
    const { url, mintId, now } = this.#settings;
    const [id, at] = [mintId(), new Date(now())];
    const response = await fetch(url, {
      method: "POST",
      redirect: "error",
      signal: AbortSignal.timeout(msMax),
      headers: {
        "content-type": "application/json",
        "user-agent": "callsheet-moderation/1",
        // A packed answer could unfold to any size.
        "accept-encoding": "identity",
        "webhook-id": id,
        "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
        "webhook-signature": this.#signer.sign(id, at, body),
      },
      body,
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`the moderation hook answered ${response.status}`);
    }
    const verdict = Answer.safeParse(parse(await readAtMost(response, ANSWER_BYTES_MAX)));
    if (!verdict.success) throw new Error("the moderation hook's answer is no verdict");
    return verdict.data;
  }
}

async function readAtMost(response: Response, bytesMax: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Error(`the moderation hook's answer has more than ${bytesMax} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // No verdict either.
  }
}
