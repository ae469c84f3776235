import { Hono } from "hono";
import { expect, test } from "vitest";
import { Metrics } from "#control-plane/metrics.ts";
import { DeviceId } from "#protocol/id.ts";

async function linesOf(metrics: Metrics): Promise<readonly string[]> {
  return (await metrics.scraped()).text.split("\n");
}

test("what is counted and shown is what a scrape reads, each once, with its help", async () => {
  const metrics = new Metrics();
  metrics.count("stale_frames_total", "finished");
  metrics.count("stale_frames_total", "finished");
  metrics.count("assignments_unanswered_total");
  metrics.show("ledger_breaches", 3);
  const lines = await linesOf(metrics);
  expect(lines).toContain('callsheet_stale_frames_total{frame="finished"} 2');
  expect(lines).toContain("callsheet_assignments_unanswered_total 1");
  expect(lines).toContain("callsheet_ledger_breaches 3");
  expect(lines.filter((line) => line.startsWith("# HELP callsheet_ledger_breaches"))).toHaveLength(1);
});

test("requests are timed by route, so that a thousand ids are one series", async () => {
  const metrics = new Metrics();
  const inner = new Hono().get("/videos/:id", (c) => c.json({}));
  const app = new Hono().use(metrics.timed).route("/edge/v1", inner);
  for (let n = 0; n < 1_000; n++) await app.request(`/edge/v1/videos/${n}`);
  await app.request("/nowhere");
  const counts = (await linesOf(metrics)).filter((line) => line.startsWith("callsheet_http_request_seconds_count"));
  expect(counts).toEqual([
    'callsheet_http_request_seconds_count{method="GET",route="/edge/v1/videos/:id",status="200"} 1000',
    expect.stringContaining('status="404"'),
  ]);
});

test("devices are shown as they are told, without what they do not tell, and not once their runner has left", async () => {
  const metrics = new Metrics();
  const id = DeviceId.parse("gpu-0");
  const reading = { id, utilization: 97, memory_used_bytes: 1_024, temperature_c: 61, power_w: null, ecc_errors: 0 };
  const runners = new Map([["runner-1", { telemetry: [reading] }]]);
  metrics.watchDevices(() => runners);
  const shown = async () => (await linesOf(metrics)).filter((line) => line.startsWith("callsheet_device_"));
  const labels = '{runner="runner-1",device="gpu-0"}';
  expect(await shown()).toEqual([
    `callsheet_device_utilization_ratio${labels} 0.97`,
    `callsheet_device_memory_used_bytes${labels} 1024`,
    `callsheet_device_celsius${labels} 61`,
    `callsheet_device_ecc_errors${labels} 0`,
  ]);
  runners.clear();
  expect(await shown()).toEqual([]);
});
