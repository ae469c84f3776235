/**
 * A device and who is on it. A gang, and the job of a device with one slot, take a device whole; a single-device job takes
 * one slot of a device that has several, and its memory. Two jobs of one tenancy are a batch.
 *
 * Resident weights: those that running jobs use, and those of the job that began last. What lies there unused takes no
 * memory in this account: it makes room for whoever comes.
 */
import type { RunnerTerms } from "./event.ts";
import type { Shape } from "./job-class.ts";

/** What one job, or a batch of jobs, holds until its last job leaves. */
export interface Tenancy {
  readonly jobs: string[];
  readonly devices: readonly DeviceState[];
  /** Null: the devices are taken whole. */
  readonly slot: number | null;
  readonly weights: string;
  /** On each device. */
  vramBytes: number;
  /** When it is expected to leave. */
  freeAtMs: number;
}

export interface DeviceState {
  readonly id: string;
  readonly vramBytes: number;
  readonly slots: number;
  readonly tenancies: Tenancy[];
  /** Of the job that began last; survives it. */
  weights: string | null;
  /** When a job last began here: the weights that were not used for longest make room first. */
  usedAtMs: number;
}

export function newDevice({ id, vramBytes, slots }: RunnerTerms["devices"][number]): DeviceState {
  return { id, vramBytes, slots, tenancies: [], weights: null, usedAtMs: -1 };
}

export function isFree(device: DeviceState): boolean {
  return device.tenancies.length === 0;
}

export function isWarm(device: DeviceState, weights: string): boolean {
  return device.weights === weights || device.tenancies.some((tenancy) => tenancy.weights === weights);
}

/** Memory and slots that nobody holds; a device that is taken whole has neither. */
export function spare(device: DeviceState): { readonly bytes: number; readonly slots: number } {
  let [bytes, slots] = [device.vramBytes, device.slots];
  for (const tenancy of device.tenancies) {
    if (tenancy.slot === null) return { bytes: 0, slots: 0 };
    bytes -= tenancy.vramBytes;
    slots--;
  }
  return { bytes, slots };
}

/** The first slot that nobody holds, for a single-device job of a shared device; null if nothing is left for it. */
export function openSlot(device: DeviceState, vramBytes: number): number | null {
  const { bytes, slots } = spare(device);
  if (slots === 0 || vramBytes > bytes) return null;
  for (let slot = 0; slot < device.slots; slot++) {
    if (device.tenancies.every((tenancy) => tenancy.slot !== slot)) return slot;
  }
  return null;
}

/** Whether a job of this shape takes a slot of the device rather than all of it. */
export function takesSlot(device: DeviceState, k: number): boolean {
  return k === 1 && device.slots > 1;
}

/**
 * When the device is expected to have room for a gang's part, or for a single-device job, if tenants leave as expected
 * and `takenBytes` of another slot are held on; Infinity if never.
 */
export function roomAtMs(
  device: DeviceState,
  { k, vramBytes }: Shape,
  leavesAtMs: (tenancy: Tenancy) => number,
  takenBytes: number | null = null,
): number {
  if (vramBytes > device.vramBytes) return Infinity;
  if (takesSlot(device, k)) return slotAtMs(device, vramBytes, leavesAtMs, takenBytes);
  if (takenBytes !== null) return Infinity;
  let latestMs = 0;
  for (const tenancy of device.tenancies) latestMs = Math.max(latestMs, leavesAtMs(tenancy));
  return latestMs;
}

function slotAtMs(
  device: DeviceState,
  vramBytes: number,
  leavesAtMs: (tenancy: Tenancy) => number,
  takenBytes: number | null,
): number {
  const slotsOf = (tenancy: Tenancy) => (tenancy.slot === null ? device.slots : 1);
  let bytes = device.vramBytes - (takenBytes ?? 0);
  let slots = device.slots - (takenBytes === null ? 0 : 1);
  for (const tenancy of device.tenancies) {
    bytes -= tenancy.vramBytes;
    slots -= slotsOf(tenancy);
  }
  if (slots > 0 && vramBytes <= bytes) return 0;
  const leaving = device.tenancies.map((tenancy) => ({ tenancy, atMs: leavesAtMs(tenancy) }));
  for (const { tenancy, atMs } of leaving.toSorted((a, b) => a.atMs - b.atMs)) {
    bytes += tenancy.vramBytes;
    slots += slotsOf(tenancy);
    if (slots > 0 && vramBytes <= bytes) return atMs;
  }
  return Infinity;
}
