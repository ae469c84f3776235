/** `npm run sim:reconnects [-- CLIENTS]`: how an edge's live sessions come back after it stopped, second by second, under virtual time. */
import { RECONNECT_WITHIN_MS, reconnectReason, reconnectWithinMs } from "#protocol/reconnect.ts";
import { deployed, KILLED, stampede } from "#tests/support/reconnect-herd.ts";

const clients = Number(process.argv[2] ?? 10_000);
const told = reconnectWithinMs(clients);
const BAR = 60;

const CASES = [
  ["killed, back after 1 s, nothing told", KILLED, RECONNECT_WITHIN_MS, 1_000],
  ["killed, back after 30 s, nothing told", KILLED, RECONNECT_WITHIN_MS, 30_000],
  [`killed, back after 1 s, their hello named ${told} ms`, KILLED, told, 1_000],
  [`deploy, back after 1 s, "${reconnectReason(told)}"`, deployed(reconnectReason(told)), RECONNECT_WITHIN_MS, 1_000],
] as const;

for (const [name, ended, withinMs, awayMs] of CASES) {
  const seen = stampede({ clients, clientsPerAccount: 20, ended, withinMs, awayMs, seed: 1 });
  const share = (count: number) => `${((count / clients) * 100).toFixed(1)} %`;
  process.stdout.write(
    `\n${name}: ${clients} sessions, ${seen.tries} tries; busiest second ${seen.peakTries} tries (${share(seen.peakTries)}), ` +
      `${seen.peakSessions} sessions (${share(seen.peakSessions)}); half are back after ${(seen.medianBackMs / 1_000).toFixed(1)} s, ` +
      `all after ${(seen.allBackMs / 1_000).toFixed(1)} s\n`,
  );
  const most = Math.max(...seen.histogram);
  for (const [second, count] of seen.histogram.entries()) {
    if (count > 0)
      process.stdout.write(
        `${String(second).padStart(4)} s ${String(count).padStart(5)} ${"#".repeat(Math.ceil((count / most) * BAR))}\n`,
      );
  }
}
