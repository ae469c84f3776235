/** What every simulated studio has: a model with two classes, two tiers, accounts with credits. */
import { GpuMillis, milliCredits } from "#protocol/unit.ts";
import { AccountId } from "#protocol/id.ts";
import type { Tables } from "../postgres/tables.ts";
import { EPOCH_MS } from "../kernel/process.ts";

const GIB = 2 ** 30;
const GRANTED = milliCredits(10_000_000n);
export const STEPS_MAX = 12;

export function accountId(index: number): AccountId {
  return AccountId.parse(`acct_${String(index).padStart(16, "0")}`);
}

export function furnish(tables: Tables, accounts: number): void {
  const limits = {
    maxQueued: 50,
    createsPerMinute: 600,
    createsBurst: 600,
    readsPerMinute: 6_000,
    readsBurst: 200,
    startBoundS: 7_200,
    keepVideoHours: null,
    keepDraftHours: 24,
  };
  for (const [name, weight, maxRunning] of [
    ["free", 1, 2],
    ["pro", 5, 8],
  ] as const) {
    const shares = { shareMin: 1, shareMax: 1_000_000, maxRunning, tierMaxRunning: 1_000_000 };
    put(tables.tier, name, { name, weight, ...shares, ...limits });
  }
  put(tables.model, "reference", {
    name: "reference",
    engine: "simulated",
    fps: 24,
    sizes: [
      { size: "832x480", resolution: "480p" },
      { size: "1280x720", resolution: "720p" },
    ],
    defaultSize: "832x480",
    secondsMin: 1,
    secondsMax: 4,
    secondsDefault: 4,
    stepsDefault: 8,
    stepsMax: STEPS_MAX,
    loadMs: 0,
    resume: "exact",
    createdAt: new Date(EPOCH_MS),
  });
  aClass(tables, "480p", 1, 2_000);
  aClass(tables, "720p", 2, 4_000);
  for (let index = 0; index < accounts; index++) {
    const id = accountId(index);
    put(tables.account, id, { id, tier: index % 2 === 0 ? "free" : "pro" });
    const grant = `grant_${index}`;
    const books = { held: 0n, consumed: 0n, expired: 0n, voided: 0n, expiredAt: null, voidedAt: null, expiresAt: null };
    const terms = { category: "paid", priority: 50, effectiveAt: new Date(EPOCH_MS - 3_600_000) } as const;
    put(tables.grant, grant, { id: grant, accountId: id, amount: GRANTED, available: GRANTED, ...terms, ...books });
  }
}

function aClass(tables: Tables, resolution: string, k: number, wallMs: number): void {
  const name = `${resolution}/4s`;
  const shape = { k, vram_bytes: 20 * GIB, wall_ms: wallMs, encode_ms: wallMs / 10, decode_ms: wallMs / 10 };
  put(tables.class, `reference/${name}`, {
    model: "reference",
    name,
    resolution,
    secondsMax: 4,
    price: milliCredits(8_003n * BigInt(k)),
    gpuMs: GpuMillis.parse(wallMs * k),
    shapes: [shape],
    retiredAt: null,
  });
}

function put<Row>(table: { readonly cells: Map<string, unknown> }, key: string, row: Row): void {
  table.cells.set(key, { committed: row, past: [], pending: null, owner: null });
}
