/** `Prefer: wait=n`: watches one video by a live session of its own until it has ended or the time is over. */
import type { VideoId } from "#protocol/id.ts";
import type { EdgeContext } from "./app.ts";
import { isEndOf, isOver } from "./event-stream.ts";
import { InnerSession } from "./inner-session.ts";

/** False if there was no session to be had: the caller is answered at once, as it would be without the preference. */
export async function waitForEnd(c: EdgeContext, video: VideoId, seconds: number): Promise<boolean> {
  const untilMs = Date.now() + seconds * 1_000;
  const session = await InnerSession.open(c, c.get("caller"), { videoIds: [video], startingAfter: null });
  if (session instanceof Response) {
    await session.body?.cancel();
    return false;
  }
  try {
    for (;;) {
      const next = await session.next(untilMs - Date.now());
      if (next.kind === "closed") return false;
      if (next.kind === "silence") return true;
      const { frame } = next;
      if (frame.type === "snapshot" && frame.videos.every(({ status }) => isOver(status))) return true;
      if (isEndOf(video, frame)) return true;
    }
  } finally {
    session.close();
  }
}
