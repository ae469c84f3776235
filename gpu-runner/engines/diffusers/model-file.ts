/**
 * The operator's model file: JSON, by the name under which a model is asked for, what the sidecar loads for it
 * (`docs/engines.md`). It is checked whole at start; weights are looked at when they are first needed.
 */
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { Sha256Hex } from "#protocol/id.ts";
import { type Named, readOperatorFile } from "../operator-file.ts";

const QUIET_S_MAX = 24 * 3_600;
/** Reading tens of gigabytes from a cold disk takes this long, and no part of a render longer. */
const QUIET_S = 900;

/** A type of numbers of torch. */
const Dtype = z.enum(["float32", "float16", "bfloat16"]);

const Entry = z
  .strictObject({
    /** A pipeline class of diffusers; the sidecar lists those that it knows to resume. */
    pipeline: z.string(),
    /** A folder as `save_pretrained` writes it, relative to the model file, or a repository of the hub at one commit. */
    path: z.string().optional(),
    repo: z.string().optional(),
    revision: z.string().optional(),
    /** Of all parts, or by part with a `default`: `{"default": "bfloat16", "vae": "float32"}`. */
    dtype: z.union([Dtype, z.record(z.string(), Dtype)]).default("bfloat16"),
    /** Instead of the model's own. */
    scheduler: z.strictObject({ class: z.string(), config: z.record(z.string(), z.json()).optional() }).optional(),
    /** Passed to the pipeline as they are, e.g. `guidance_scale`. */
    arguments: z.record(z.string(), z.json()).default({}),
    /** Used where a request has none. */
    negative_prompt: z.string().default(""),
    /** `model` keeps in the GPU's memory only the part that computes. */
    offload: z.enum(["none", "model"]).default("none"),
    /** How long loading, encoding, a first step or a decode may be silent before it counts as hung. */
    quiet_s: z.number().positive().max(QUIET_S_MAX).default(QUIET_S),
    /** False: none is asked for. A hash: what it must be, on this kind of GPU. True: what it was at the first load. */
    known_answer: z.union([z.boolean(), Sha256Hex]).default(true),
  })
  .refine(({ path, repo }) => (path === undefined) !== (repo === undefined), "needs either 'path' or 'repo'")
  .refine(({ repo, revision }) => (repo === undefined) === (revision === undefined), {
    path: ["revision"],
    error: "names the commit of 'repo'",
  })
  .refine(({ dtype }) => typeof dtype === "string" || "default" in dtype, {
    path: ["dtype"],
    error: "needs a 'default' among its parts",
  });

export type ModelEntry = Named<z.infer<typeof Entry>>;

export async function readModelFile(path: string): Promise<ReadonlyMap<string, ModelEntry>> {
  const models = await readOperatorFile(path, Entry);
  const folder = dirname(path);
  return new Map(
    [...models].map(([name, entry]) => [
      name,
      { ...entry, ...(entry.path === undefined ? {} : { path: resolve(folder, entry.path) }) },
    ]),
  );
}
