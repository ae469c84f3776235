/** Virtual waits: what the edge waits for passes at once, and its clock with it. Until `vi.useRealTimers()` and `vi.restoreAllMocks()`. */
import { vi } from "vitest";

export function hasten(): void {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.spyOn(scheduler, "wait").mockImplementation(async (ms) => {
    const untilMs = Date.now() + Number(ms);
    await Promise.resolve();
    // Others may have waited meanwhile.
    if (Date.now() < untilMs) vi.setSystemTime(untilMs);
  });
}
