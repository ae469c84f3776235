/**
 * How much of a shared device would lie idle because nothing that is asked for fits into what is left of it: the measure
 * of FGD, over slots and memory instead of parts of a GPU.
 *
 * A free slot is unusable for a class if its memory runs out first, or if the class only runs as a gang and somebody is on
 * the device. That share, weighed by how often each class was seen lately, is what a placement should let grow least. All
 * figures are whole numbers, so that equal states are equal.
 */
import { spare } from "./device.ts";
import type { DeviceState } from "./device.ts";
import type { JobClass } from "./job-class.ts";

/** A whole device; every possible number of slots divides it. */
const DEVICE_UNITS = 720_720;
/** Once so many jobs were seen, all counts are halved: the mix follows what is asked for now. */
const SEEN_MAX = 1_024;
const TABLE_ROWS_MAX = 4_096;

export class Fragmentation {
  readonly #classes: ReadonlyMap<string, JobClass>;
  readonly #seen = new Map<string, number>();
  #total = 0;
  /** By slots, free slots and free bytes; true until the mix changes. */
  readonly #table = new Map<string, number>();

  constructor(classes: ReadonlyMap<string, JobClass>) {
    this.#classes = classes;
  }

  /** A job of the class came. */
  see(classId: string): void {
    this.forget();
    this.#seen.set(classId, (this.#seen.get(classId) ?? 0) + 1);
    if (++this.#total < SEEN_MAX) return;
    this.#total = 0;
    for (const [id, count] of this.#seen) {
      const half = count >> 1;
      if (half === 0) this.#seen.delete(id);
      else this.#seen.set(id, half);
      this.#total += half;
    }
  }

  /** A class is new, or needs something else than before. */
  forget(): void {
    if (this.#table.size > 0) this.#table.clear();
  }

  /** What one more slot with so much memory adds to the unusable share of the device; negative if it uses such a share. */
  growth(device: DeviceState, vramBytes: number): number {
    const { bytes, slots } = spare(device);
    return this.#unusable(device.slots, slots - 1, bytes - vramBytes) - this.#unusable(device.slots, slots, bytes);
  }

  #unusable(slots: number, freeSlots: number, freeBytes: number): number {
    const row = `${slots} ${freeSlots} ${freeBytes}`;
    const known = this.#table.get(row);
    if (known !== undefined) return known;
    let sum = 0;
    for (const [id, count] of this.#seen) {
      const jobClass = this.#classes.get(id);
      if (jobClass !== undefined) sum += count * (freeSlots - usable(jobClass, slots, freeSlots, freeBytes));
    }
    const units = sum * (DEVICE_UNITS / slots);
    if (this.#table.size >= TABLE_ROWS_MAX) this.#table.clear();
    this.#table.set(row, units);
    return units;
  }
}

/** Free slots that jobs of the class could use. */
function usable({ shapes }: JobClass, slots: number, freeSlots: number, freeBytes: number): number {
  let most = 0;
  for (const { k, vramBytes } of shapes) {
    if (k > 1) most = Math.max(most, freeSlots === slots && vramBytes <= freeBytes ? slots : 0);
    else most = Math.max(most, Math.min(freeSlots, Math.floor(freeBytes / Math.max(1, vramBytes))));
  }
  return Math.max(0, most);
}
