/** In place of the host's disk: what an attempt's folder holds, by path. A host keeps it; `DeviceBay.open` empties it. */
import type { Rendering } from "../world/rendering.ts";
import { thisProcess } from "../kernel/running.ts";

const disks = new Map<string, Map<string, Rendering>>();

function disk(): Map<string, Rendering> {
  const { name } = thisProcess();
  const known = disks.get(name);
  if (known !== undefined) return known;
  const made = new Map<string, Rendering>();
  disks.set(name, made);
  return made;
}

export function wipeDisks(): void {
  disks.clear();
}

export function writeRendering(path: string, rendering: Rendering): void {
  disk().set(path, rendering);
}

export function readRendering(path: string): Rendering | null {
  return disk().get(path) ?? null;
}

export async function mkdir(_path: string, _options?: object): Promise<void> {
  // Folders are names here.
}

export async function rm(path: string, _options?: object): Promise<void> {
  for (const name of disk().keys()) if (name === path || name.startsWith(`${path}/`)) disk().delete(name);
}
