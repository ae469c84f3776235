/**
 * Asks the cloud every few seconds whether it is about to take this machine back. Then the runner drains: what it renders is
 * stopped with a checkpoint and goes on elsewhere, while there is still time.
 *
 * Promises: `taken` is called once; a metadata service that does not answer, or answers nonsense, is no notice.
 */
import { setTimeout as pause } from "node:timers/promises";
import { z } from "zod";

export const SpotCloud = z.enum(["aws", "gcp", "azure"]);
export type SpotCloud = z.infer<typeof SpotCloud>;

const POLL_MS = 5_000;
const CALL_MS = 2_000;
const TOKEN_SECONDS = 300;

const METADATA_URL = {
  aws: "http://169.254.169.254",
  gcp: "http://metadata.google.internal",
  azure: "http://169.254.169.254",
} as const satisfies Record<SpotCloud, string>;

const AwsAction = z.object({ action: z.enum(["terminate", "stop", "hibernate"]) });
const AzureEvents = z.object({ Events: z.array(z.object({ EventType: z.string() })) });

export interface SpotWatch {
  readonly cloud: SpotCloud;
  /** Instead of the cloud's own metadata service. */
  readonly url?: string;
  readonly pollMs?: number;
  readonly signal: AbortSignal;
  readonly taken: () => void;
}

export async function watchSpot({ cloud, url, pollMs = POLL_MS, signal, taken }: SpotWatch): Promise<void> {
  while (!signal.aborted) {
    const noticed = await ASK[cloud](url ?? METADATA_URL[cloud], signal).catch(() => false);
    if (signal.aborted) return;
    if (noticed) return taken();
    await pause(pollMs, undefined, { signal, ref: false }).catch(() => undefined);
  }
}

const ASK: Readonly<Record<SpotCloud, (url: string, signal: AbortSignal) => Promise<boolean>>> = {
  /** There is an action only once it is decided: two minutes before. */
  async aws(url, signal) {
    const ttl = { "x-aws-ec2-metadata-token-ttl-seconds": String(TOKEN_SECONDS) };
    const token = await (await get(`${url}/latest/api/token`, signal, ttl, "PUT")).text();
    const answer = await get(`${url}/latest/meta-data/spot/instance-action`, signal, {
      "x-aws-ec2-metadata-token": token,
    });
    return answer.ok && AwsAction.safeParse(await answer.json()).success;
  },
  async gcp(url, signal) {
    const answer = await get(`${url}/computeMetadata/v1/instance/preempted`, signal, { "metadata-flavor": "Google" });
    return answer.ok && (await answer.text()).trim() === "TRUE";
  },
  async azure(url, signal) {
    const answer = await get(`${url}/metadata/scheduledevents?api-version=2020-07-01`, signal, { metadata: "true" });
    const { Events: events } = AzureEvents.parse(await answer.json());
    return events.some(({ EventType: type }) => type === "Preempt" || type === "Terminate");
  },
};

function get(url: string, signal: AbortSignal, headers: Record<string, string>, method = "GET"): Promise<Response> {
  return fetch(url, { method, headers, signal: AbortSignal.any([signal, AbortSignal.timeout(CALL_MS)]) });
}
