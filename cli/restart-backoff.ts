/** How long to wait before a part is started again. */

/** A part that served this long before it ended counts as healthy. */
export const RAN_WELL_MS = 10_000;
const FIRST_PAUSE_MS = 250;
const PAUSE_MAX_MS = 5_000;

/** `failures` ends in a row so far: the first restart is immediate, then the pause doubles up to a limit. */
export function restartDelayMs(failures: number): number {
  return failures <= 0 ? 0 : Math.min(PAUSE_MAX_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
}
