/** The job that most tests of the runner are about. */
import { VideoId } from "#protocol/id.ts";

export const JOB = VideoId.parse(`video_${"a".repeat(32)}`);
