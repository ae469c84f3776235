/** The store that the settings name. */
import { invariant } from "#protocol/invariant.ts";
import type { Config } from "./config.ts";
import type { ArtifactStore } from "./store/artifact-store.ts";
import { DiskStore } from "./store/disk-store.ts";

export async function openStore(settings: Config): Promise<ArtifactStore> {
  const { CALLSHEET_STORE_DIR: folder, CALLSHEET_STORE_BUCKET: bucket } = settings;
  if (folder !== undefined) return new DiskStore(folder);
  const { CALLSHEET_STORE_ACCESS_KEY_ID: id, CALLSHEET_STORE_SECRET_ACCESS_KEY: secret } = settings;
  invariant(bucket !== undefined && id !== undefined && secret !== undefined, "the settings name a folder or a bucket");
  // Its library would double the time in which a control plane starts that has no bucket.
  const { S3Store } = await import("./store/s3-store.ts");
  return new S3Store({
    bucket,
    endpoint: settings.CALLSHEET_STORE_ENDPOINT ?? null,
    region: settings.CALLSHEET_STORE_REGION,
    accessKeyId: id,
    secretAccessKey: secret,
  });
}
