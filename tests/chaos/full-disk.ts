/** A small file system that can be filled: tmpfs, for which the machine must allow a mount. */
import { spawnSync } from "node:child_process";
import { rm, mkdir, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NotRunHere } from "./row.ts";

const BALLAST = "ballast";

export class FullDisk {
  readonly path: string;

  static async mount(path: string, mebibytes: number): Promise<FullDisk> {
    await mkdir(path, { recursive: true });
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m`, "chaos", path], {
      encoding: "utf8",
    });
    if (mounted.status !== 0) {
      throw new NotRunHere(`no tmpfs may be mounted (${mounted.error?.message ?? mounted.stderr.trim()})`);
    }
    return new FullDisk(path);
  }

  private constructor(path: string) {
    this.path = path;
  }

  /** Takes all but a few kilobytes. */
  async fill(leaveBytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.path);
    try {
      await writeFile(join(this.path, BALLAST), Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)));
    } catch (error) {
      // Others wrote meanwhile: then it is full, which was the point.
      if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
    }
  }

  async relieve(): Promise<void> {
    await rm(join(this.path, BALLAST), { force: true });
  }

  unmount(): void {
    // Lazy: a process may still have a file of it open.
    spawnSync("umount", ["-l", this.path]);
  }
}
