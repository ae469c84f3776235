/** The meter of the process, in the text format that Prometheus scrapes. What a scrape costs does not grow with the work. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import { COUNTERS, GAUGES } from "./core/meter.ts";
import type { CounterName, GaugeName, Meter } from "./core/meter.ts";
import type { DeviceTelemetry } from "#protocol/runner.ts";

const PREFIX = "callsheet_";
const DEVICE_GAUGES = {
  device_utilization_ratio: {
    help: "Share of the time in which something ran on a device.",
    of: (device: DeviceTelemetry) => ratio(device.utilization),
  },
  device_memory_used_bytes: {
    help: "Memory of a device in use.",
    of: (device: DeviceTelemetry) => device.memory_used_bytes,
  },
  device_celsius: { help: "Temperature of a device.", of: (device: DeviceTelemetry) => device.temperature_c },
  device_watts: { help: "Power that a device draws.", of: (device: DeviceTelemetry) => device.power_w },
  device_ecc_errors: {
    help: "Uncorrected memory errors of a device since its driver was loaded.",
    of: (device: DeviceTelemetry) => device.ecc_errors,
  },
} as const;
const SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export class Metrics implements Meter {
  readonly #registry = new Registry();
  readonly #counters: ReadonlyMap<CounterName, Counter>;
  readonly #gauges: ReadonlyMap<GaugeName, Gauge>;
  readonly #requests: Histogram;

  constructor() {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry, prefix: PREFIX });
    this.#counters = new Map(
      entriesOf(COUNTERS).map(([name, { help, label }]) => {
        const labelNames = label === null ? [] : [label];
        return [name, new Counter({ name: PREFIX + name, help, labelNames, registers })];
      }),
    );
    this.#gauges = new Map(
      entriesOf(GAUGES).map(([name, help]) => [name, new Gauge({ name: PREFIX + name, help, registers })]),
    );
    this.#requests = new Histogram({
      name: `${PREFIX}http_request_seconds`,
      help: "Requests of the edge and of other replicas, by route and status.",
      labelNames: ["method", "route", "status"],
      buckets: SECONDS,
      registers,
    });
  }

  /** Gauges of every device, read when they are scraped: a runner that left has none. */
  watchDevices(read: () => ReadonlyMap<string, { readonly telemetry: readonly DeviceTelemetry[] }>): void {
    for (const [name, { help, of }] of entriesOf(DEVICE_GAUGES)) {
      const gauge = new Gauge({
        name: PREFIX + name,
        help,
        labelNames: ["runner", "device"],
        registers: [this.#registry],
        collect() {
          gauge.reset();
          for (const [runner, { telemetry }] of read()) {
            for (const device of telemetry) {
              const value = of(device);
              if (value !== null) gauge.set({ runner, device: device.id }, value);
            }
          }
        },
      });
    }
  }

  count(name: CounterName, label?: string, by = 1): void {
    const of = COUNTERS[name].label;
    this.#counters.get(name)?.inc(of === null || label === undefined ? {} : { [of]: label }, by);
  }

  show(name: GaugeName, value: number): void {
    this.#gauges.get(name)?.set(value);
  }

  /** Times every request of an app. Routes are patterns, so ids make no series of their own. */
  readonly timed: MiddlewareHandler = async (c, next) => {
    const startedMs = performance.now();
    await next();
    const labels = { method: c.req.method, route: routePath(c, -1), status: String(c.res.status) };
    this.#requests.observe(labels, (performance.now() - startedMs) / 1_000);
  };

  async scraped(): Promise<{ readonly type: string; readonly text: string }> {
    return { type: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}

function ratio(percent: number | null): number | null {
  return percent === null ? null : percent / 100;
}

function entriesOf<Table extends object>(table: Table) {
  return Object.entries(table) as [keyof Table, Table[keyof Table]][];
}
