/**
 * What the operator's file says of a model behind a video server (`docs/engines.md`): which API it speaks, and where it is or
 * how it is started. One server has one model; each device of the runner has a server of its own.
 */
import { z } from "zod";
import { type Named, readOperatorFile } from "../operator-file.ts";

const SERVERS_MAX = 64;
const DAY_S = 24 * 3_600;
const seconds = (byDefault: number) => z.number().positive().max(DAY_S).default(byDefault);

export const Api = z.enum(["vllm-omni", "sglang"]);
export type Api = z.infer<typeof Api>;

const Entry = z
  .strictObject({
    api: Api,
    /** Of servers that somebody else runs, one a device of this runner. */
    urls: z
      .array(z.url({ protocol: /^https?$/ }))
      .min(1)
      .max(SERVERS_MAX)
      .optional(),
    /** Or the command that starts one; `{port}` is replaced. Such a server may be killed and started again. */
    command: z.array(z.string()).min(1).optional(),
    /** Sent with every request, where the server asks for one. */
    api_key: z.string().optional(),
    /** What the server calls its model, where it wants to be told. */
    model: z.string().optional(),
    /** Sent with every request as they are, e.g. `guidance_scale`. */
    arguments: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
    /** Used where a request has none. */
    negative_prompt: z.string().default(""),
    /** The smallest video it makes: shows that it works, and that it is idle. */
    probe: z
      .strictObject({
        width: z.int().positive().default(256),
        height: z.int().positive().default(256),
        frames: z.int().positive().default(5),
        steps: z.int().positive().default(1),
      })
      .prefault({}),
    /** From the start of its process until it answers. */
    start_s: seconds(1_800),
    /** A video takes no longer. One of a kind that was made before may take three times as long as that. */
    video_s: seconds(7_200),
    /** How long a server may go on with a video that nobody wants any more; then it is killed, or its device is given up. */
    cancel_s: seconds(120),
  })
  .refine(({ urls, command }) => (urls === undefined) !== (command === undefined), "needs either 'urls' or 'command'")
  .refine(({ command }) => command === undefined || command.some((word) => word.includes("{port}")), {
    path: ["command"],
    error: "must say '{port}' where the port goes",
  });

export type ServerEntry = Named<z.infer<typeof Entry>>;

export function readServerFile(path: string): Promise<ReadonlyMap<string, ServerEntry>> {
  return readOperatorFile(path, Entry);
}
