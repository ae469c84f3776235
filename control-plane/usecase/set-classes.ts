/**
 * The operator's models and classes. A class is never removed while anything may refer to it: it is retired, which takes
 * it out of the offer at once, and its videos run on their terms.
 */
import type { Database } from "#control-plane/db/connect.ts";
import { allClasses, allModels, retireClass, updateModel, upsertClass, upsertModel } from "#control-plane/db/models.ts";
import type { ClassRow, ModelRow } from "#control-plane/db/models.ts";
import type { AdminModel, AdminModelClass, PatchModel, PutModel, PutModelClass } from "#protocol/admin-terms.ts";
import { creditsText, GpuMillis, milliCreditsOf } from "#protocol/unit.ts";
import type { z } from "zod";
import { answer, refuse } from "./admin-answer.ts";
import type { Answer } from "./admin-answer.ts";
import type { Operator } from "./admin-audit.ts";
import { changing } from "./set-terms.ts";

const NO_MODEL = { code: "not_found", message: "No such model." } as const;

export async function listModels({ sql }: Database): Promise<readonly AdminModel[]> {
  const [models, classes] = await Promise.all([allModels(sql), allClasses(sql)]);
  return models.map((model) => modelOf(model, classes));
}

/** A model of that name is there afterwards, with exactly these terms; its classes, and what was admitted, stay. */
export function putModel(
  { sql }: Database,
  by: Operator,
  name: string,
  wanted: z.infer<typeof PutModel>,
): Promise<Answer<AdminModel>> {
  return changing(sql, by, { act: "model.put", target: name, changes: { ...wanted } }, async (tx) => {
    const row = await upsertModel(tx, {
      name,
      engine: wanted.engine,
      fps: wanted.fps,
      sizes: wanted.sizes,
      defaultSize: wanted.default_size,
      secondsMin: wanted.seconds_min,
      secondsMax: wanted.seconds_max,
      secondsDefault: wanted.seconds_default,
      stepsDefault: wanted.steps_default,
      stepsMax: wanted.steps_max,
      loadMs: wanted.load_ms,
      resume: wanted.resume,
    });
    return answer(modelOf(row, await allClasses(tx)));
  });
}

export function changeModel(
  { sql }: Database,
  by: Operator,
  name: string,
  wanted: z.infer<typeof PatchModel>,
): Promise<Answer<AdminModel>> {
  return changing(sql, by, { act: "model.change", target: name, changes: { ...wanted } }, async (tx) => {
    if (!(await updateModel(tx, name, { loadMs: wanted.load_ms, resume: wanted.resume }))) return refuse(NO_MODEL);
    const [models, classes] = [await allModels(tx), await allClasses(tx)];
    const model = models.find((candidate) => candidate.name === name);
    return model === undefined ? refuse(NO_MODEL) : answer(modelOf(model, classes));
  });
}

/** A class of that name is offered afterwards, with exactly these terms; what was admitted before keeps its price. */
export function putClass(
  { sql }: Database,
  by: Operator,
  model: string,
  name: string,
  wanted: z.infer<typeof PutModelClass>,
): Promise<Answer<AdminModelClass>> {
  return changing(sql, by, { act: "class.put", target: `${model}/${name}`, changes: { ...wanted } }, async (tx) => {
    if ((await allModels(tx)).every((known) => known.name !== model)) return refuse(NO_MODEL);
    const { resolution, seconds_max: secondsMax, shapes } = wanted;
    const twin = (await allClasses(tx)).find(
      (row) => row.model === model && row.resolution === resolution && row.secondsMax === secondsMax,
    );
    if (twin !== undefined && twin.name !== name) {
      const message = `Invalid 'seconds_max': class '${twin.name}' is already the one for ${resolution} up to ${secondsMax} s.`;
      return refuse({ code: "invalid_value", param: "seconds_max", message });
    }
    const cheapestMs = Math.min(...shapes.map(({ k, wall_ms: wallMs }) => k * wallMs));
    const gpuMs = GpuMillis.parse(wanted.gpu_ms ?? cheapestMs);
    const price = milliCreditsOf(wanted.price);
    return answer(classOf(await upsertClass(tx, { model, name, resolution, secondsMax, price, gpuMs, shapes })));
  });
}

export function endClass(
  { sql }: Database,
  by: Operator,
  model: string,
  name: string,
): Promise<Answer<AdminModelClass>> {
  return changing(sql, by, { act: "class.retire", target: `${model}/${name}` }, async (tx) => {
    const row = await retireClass(tx, model, name);
    return row === null ? refuse({ code: "not_found", message: "No such class." }) : answer(classOf(row));
  });
}

function modelOf(model: ModelRow, classes: readonly ClassRow[]): AdminModel {
  return {
    name: model.name,
    engine: model.engine,
    steps_default: model.stepsDefault,
    load_ms: model.loadMs,
    resume: model.resume,
    classes: classes.filter((row) => row.model === model.name).map(classOf),
  };
}

function classOf(row: ClassRow): AdminModelClass {
  return {
    model: row.model,
    name: row.name,
    resolution: row.resolution,
    seconds_max: row.secondsMax,
    price: creditsText(row.price),
    gpu_ms: row.gpuMs,
    shapes: row.shapes.map((shape) => ({ ...shape })),
    retired: row.retiredAt !== null,
  };
}
