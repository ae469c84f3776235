/**
 * Files that are whole or not there: written under a temporary name, synced, renamed, and the folder synced, so that
 * neither a killed process, nor a full disk, nor a power cut leaves a half file under its final name.
 */
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

const PART = ".part";

/** What was written so far is removed if `write` fails. Two writers of one path at a time are a bug. */
export async function writeWhole<Written>(
  path: string,
  write: (file: FileHandle) => Promise<Written>,
  mode?: number,
): Promise<Written> {
  const temporary = `${path}${PART}`;
  try {
    const save = async (file: FileHandle) => {
      const result = await write(file);
      await file.sync();
      return result;
    };
    const written = await withFile(temporary, "w", save, mode);
    await rename(temporary, path);
    await withFile(dirname(path), "r", (folder) => folder.sync());
    return written;
  } catch (fault) {
    // A disk that takes no more may refuse this too; the folder goes with its attempt.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fault;
  }
}

/** A write may take less than it was given, e.g. on a disk that is nearly full: the next one says why. */
export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at);
    if (bytesWritten === 0) throw new Error("the disk takes no more bytes");
    at += bytesWritten;
  }
}

export async function withFile<Result>(
  path: string,
  flags: "r" | "w",
  use: (file: FileHandle) => Promise<Result>,
  mode?: number,
): Promise<Result> {
  const file = await open(path, flags, mode);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}
