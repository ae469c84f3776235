/** How long a revoked key still works where nobody told the edge, and that a rotation fails no call. */
import { afterEach, expect, test, vi } from "vitest";
import { hashOfKey, mintKey } from "#protocol/api-key.ts";
import { arrive } from "./customer.ts";

const REVOKED_WITHIN_MS = 5_000;

afterEach(() => {
  vi.useRealTimers();
});

test("a revocation whose push is lost holds at the edge within 5 s, by the edge's own clock", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const { call, controlPlane, hash } = await arrive();
  const startMs = Date.now();
  expect((await call("/v1/videos")).status).toBe(200);
  // The worst case: revoked right after it was checked, and nobody is told.
  controlPlane.keys.delete(hash);
  let lastGoodMs = 0;
  for (let ms = 100; ms <= REVOKED_WITHIN_MS; ms += 100) {
    vi.setSystemTime(startMs + ms);
    if ((await call("/v1/videos")).status === 200) lastGoodMs = ms;
  }
  expect(lastGoodMs).toBeLessThan(4_000);
  expect((await call("/v1/videos")).status).toBe(401);
});

test("a pushed revocation holds at once", async () => {
  const { call, controlPlane, hash, push } = await arrive();
  expect((await call("/v1/videos")).status).toBe(200);
  controlPlane.keys.delete(hash);
  await push([{ kind: "key_revoked", key_sha256: hash }]);
  expect((await call("/v1/videos")).status).toBe(401);
});

test("a rotation fails no call: the new key works at once, the old one until it is revoked", async () => {
  const { call, controlPlane, account, hash, push } = await arrive();
  const fresh = mintKey("test", account, crypto.getRandomValues(new Uint8Array(64)));
  const withNew = () => call("/v1/videos", { headers: { authorization: `Bearer ${fresh}` } });
  controlPlane.keys.add(await hashOfKey(fresh));
  const statuses: number[] = [];
  for (let n = 0; n < 5; n++) statuses.push((await call("/v1/videos")).status, (await withNew()).status);
  controlPlane.keys.delete(hash);
  await push([{ kind: "key_revoked", key_sha256: hash }]);
  for (let n = 0; n < 5; n++) statuses.push((await withNew()).status);
  expect(statuses.filter((status) => status !== 200)).toEqual([]);
  expect((await call("/v1/videos")).status).toBe(401);
});
