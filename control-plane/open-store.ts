/** The store that the settings name, and how runners reach its files. */
import { invariant } from "#protocol/invariant.ts";
import type { Config } from "./config.ts";
import type { ArtifactStore } from "./store/artifact-store.ts";
import { DiskStore } from "./store/disk-store.ts";
import { StoreUrls } from "./store/store-url.ts";
import type { FileUrls } from "./store/store-url.ts";

export interface OpenStore {
  readonly store: ArtifactStore;
  /** Of files behind this control plane; those that were given out before are honoured, however `urls` are made now. */
  readonly ownUrls: StoreUrls;
  readonly urls: FileUrls;
}

export async function openStore(settings: Config): Promise<OpenStore> {
  const { CALLSHEET_STORE_DIR: folder, CALLSHEET_STORE_BUCKET: bucket } = settings;
  const ownUrls = new StoreUrls(settings.CALLSHEET_PUBLIC_URL, settings.CALLSHEET_STORE_SECRET);
  if (folder !== undefined) return { store: new DiskStore(folder), ownUrls, urls: ownUrls };
  const { CALLSHEET_STORE_ACCESS_KEY_ID: id, CALLSHEET_STORE_SECRET_ACCESS_KEY: secret } = settings;
  invariant(bucket !== undefined && id !== undefined && secret !== undefined, "the settings name a folder or a bucket");
  const s3 = {
    bucket,
    endpoint: settings.CALLSHEET_STORE_ENDPOINT ?? null,
    region: settings.CALLSHEET_STORE_REGION,
    accessKeyId: id,
    secretAccessKey: secret,
  };
  // Their libraries would double the time in which a control plane starts that has no bucket.
  const { S3Store } = await import("./store/s3-store.ts");
  const { S3Urls } = await import("./store/s3-urls.ts");
  return {
    store: new S3Store(s3),
    ownUrls,
    urls: settings.CALLSHEET_STORE_DIRECT === "yes" ? new S3Urls(s3) : ownUrls,
  };
}
