/** What the generator is told and what it tells back, over the channel between parent and child. */

export interface Plan {
  readonly edgeUrl: string;
  readonly apiKeys: readonly string[];
  readonly perSecond: number;
  readonly seconds: number;
  readonly seed: number;
  /** Creates; or reads of videos and lists, nine to one. */
  readonly profile: "creates" | "reads";
  /** To read, one an account. */
  readonly videos: readonly string[];
}

export interface Told {
  readonly intents: number;
  readonly requests: number;
  readonly retries: number;
  /** Milliseconds from when a request was due, whoever was late, by what it was answered. */
  readonly latencies: Readonly<Record<string, readonly number[]>>;
  /** Per accepted create: its name and the video that was answered. */
  readonly accepted: readonly (readonly [string, string])[];
  readonly connectionsMax: number;
  /** How late the generator itself was with sending, at worst. */
  readonly lateMsMax: number;
}
