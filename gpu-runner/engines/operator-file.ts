/** The operator's JSON file (`CALLSHEET_MODEL_FILE`): by the name under which a model is asked for, what its engine needs to serve it. */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { ModelName } from "#protocol/admin-terms.ts";

const MODELS_MAX = 64;

export type Named<Entry> = Entry & { readonly name: string };

/** Checked whole; one error lists everything wrong. */
export async function readOperatorFile<Entry extends z.ZodType<object>>(
  path: string,
  entry: Entry,
): Promise<ReadonlyMap<string, Named<z.infer<Entry>>>> {
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new Error(`the model file ${path} cannot be read`, { cause });
  });
  const file = z
    .record(ModelName, entry)
    .refine((models) => Object.keys(models).length > 0, "names no model")
    .refine((models) => Object.keys(models).length <= MODELS_MAX, `names more than ${MODELS_MAX} models`);
  const read = file.safeParse(parse(path, text));
  if (!read.success) throw new Error(`the model file ${path} is wrong:\n${z.prettifyError(read.error)}`);
  return new Map(Object.entries(read.data).map(([name, one]) => [name, { ...one, name }]));
}

function parse(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`the model file ${path} is not JSON`, { cause });
  }
}
