/**
 * What the readings and the kernel's messages say about a host's GPUs. Pure.
 *
 * fit → broken, and it stays that: who has to repair or restart it is the operator. `engine` faults are of one program, and the engine
 * sees them itself. `gpu` faults take one GPU, `host` faults all of them: the driver, the bus, the links between them.
 */

export type GpuFault = "ignore" | "engine" | "gpu" | "host";
export type XidTable = Readonly<Record<number, GpuFault>>;

/** NVIDIA's Xid numbers. Vendors disagree about some: the operator's file overrides them. */
export const XIDS: XidTable = {
  // A program's own faults; the engine dies of them, or the driver kills it.
  13: "engine",
  31: "engine",
  43: "engine",
  45: "ignore",
  68: "engine",
  109: "engine",
  // Memory: contained, a row remapped; the rest of the GPU is sound.
  94: "engine",
  63: "ignore",
  // Memory that is not contained, a stopped GPU, failed remapping.
  46: "gpu",
  48: "gpu",
  64: "gpu",
  95: "gpu",
  140: "gpu",
  // The GPU's own processor, or its start.
  119: "gpu",
  120: "gpu",
  143: "gpu",
  154: "gpu",
  // Links between GPUs, and a GPU that fell off the bus.
  74: "host",
  79: "host",
};

export interface Xid {
  readonly bus: string;
  readonly xid: number;
}

/** Of a line of the kernel's log, as `NVRM: Xid (PCI:0000:3b:00): 79, pid=…`. */
export function xidIn(line: string): Xid | null {
  const [, bus, xid] = /NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)/.exec(line) ?? [];
  return bus === undefined || xid === undefined ? null : { bus, xid: Number(xid) };
}

function faultOf(xid: number, table: XidTable): GpuFault {
  return table[xid] ?? "ignore";
}

/** Kernel messages leave out the function, and shorten the domain to four digits. */
function isSameBus(kernel: string, smi: string): boolean {
  const parts = (bus: string) =>
    bus
      .toLowerCase()
      .replace(/\.\d+$/, "")
      .split(":")
      .map((part) => Number.parseInt(part, 16));
  const [a, b] = [parts(kernel), parts(smi)];
  return a.length === b.length && a.every((part, at) => part === b[at]);
}

export interface Counted {
  readonly bus: string;
  readonly eccErrors: number | null;
}

export interface Broken {
  /** Null: all of them. */
  readonly bus: string | null;
  readonly code: "gpu_gone" | "ecc_errors" | "driver_silent" | `xid_${number}`;
  readonly detail: string;
}

/** What changed for the worse between two readings. */
export function worsened(before: readonly Counted[], now: readonly Counted[]): readonly Broken[] {
  return before.flatMap(({ bus, eccErrors: known }): Broken[] => {
    const gpu = now.find((one) => one.bus === bus);
    if (gpu === undefined)
      return [{ bus, code: "gpu_gone", detail: `nvidia-smi does not list the GPU at ${bus} any more` }];
    const { eccErrors } = gpu;
    if (known === null || eccErrors === null || eccErrors <= known) return [];
    return [
      { bus, code: "ecc_errors", detail: `the GPU at ${bus} has ${eccErrors} uncorrected memory errors, not ${known}` },
    ];
  });
}

/** What a message of the kernel says of which GPUs, if anything. */
export function brokenBy({ bus, xid }: Xid, known: readonly string[], table: XidTable): Broken | null {
  const fault = faultOf(xid, table);
  if (fault === "ignore" || fault === "engine") return null;
  const detail = `the driver reports Xid ${xid} of the GPU at ${bus}`;
  if (fault === "host") return { bus: null, code: `xid_${xid}`, detail };
  const own = known.find((one) => isSameBus(bus, one));
  return own === undefined ? null : { bus: own, code: `xid_${xid}`, detail };
}
