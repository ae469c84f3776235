/**
 * A fresh checkout for a test: the tracked and new files of this working tree in a folder of its own, with the installed
 * packages linked in, so that no network is needed.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, cpSync, lstatSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface Clone {
  /** The folder above, readable by its owner only. */
  readonly parent: string;
  readonly path: string;
  remove(): void;
}

/** `owner`: the user (and group) id that owns the clone and its 0700 parent. */
export function cloneUnder0700(owner: number): Clone {
  const parent = mkdtempSync(join(tmpdir(), "callsheet-clone-"));
  const path = join(parent, "callsheet");
  mkdirSync(path);
  const files = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  for (const file of files.split("\0")) {
    if (file === "" || lstatSync(join(ROOT, file), { throwIfNoEntry: false }) === undefined) continue;
    mkdirSync(dirname(join(path, file)), { recursive: true });
    cpSync(join(ROOT, file), join(path, file));
  }
  // Hard links: the packages are large, and read only here.
  execFileSync("cp", ["-al", join(ROOT, "node_modules"), join(path, "node_modules")]);
  chownSync(path, owner, owner);
  chownSync(parent, owner, owner);
  chmodSync(parent, 0o700);
  return { parent, path, remove: () => rmSync(parent, { recursive: true, force: true }) };
}

/** Every process whose command line or environment names `path`. */
export function processesNaming(path: string): readonly string[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .flatMap((pid) => {
      const command = contentOf(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
      return command.includes(path) || contentOf(`/proc/${pid}/environ`).includes(path) ? [`${pid} ${command}`] : [];
    });
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    // The process ended meanwhile, or is another user's: it is not one of ours then.
    return "";
  }
}
