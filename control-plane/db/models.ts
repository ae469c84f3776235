/** Models and their classes: what may be asked, at which price, and what it takes. */
import type { ClassShape, Model, ModelClass } from "#control-plane/core/model.ts";
import type { Sql, Transaction } from "./connect.ts";

export const DEFAULT_MODEL = "reference";

export async function findModel(tx: Sql | Transaction, name: string): Promise<Model | null> {
  const [models, classes] = await Promise.all([
    tx<Omit<Model, "classes">[]>`select * from model where name = ${name}`,
    tx<ModelClass[]>`select * from model_class where model = ${name} and retired_at is null`,
  ]);
  const [model] = models;
  return model === undefined ? null : { ...model, classes };
}

export interface ClassRow extends ModelClass {
  readonly model: string;
  readonly shapes: readonly ClassShape[];
  readonly retiredAt: Date | null;
}

/** Every class, retired ones too. */
export async function allClasses(sql: Sql | Transaction): Promise<readonly ClassRow[]> {
  return sql<ClassRow[]>`select * from model_class order by model, resolution, seconds_max`;
}

export interface ModelRow extends Omit<Model, "classes"> {
  readonly loadMs: number;
  readonly createdAt: Date;
}

export async function allModels(sql: Sql | Transaction): Promise<readonly ModelRow[]> {
  return sql<ModelRow[]>`select * from model order by name`;
}

/** The model as it is from now on. */
export async function upsertModel(tx: Transaction, model: Omit<ModelRow, "createdAt">): Promise<ModelRow> {
  const [row] = await tx<ModelRow[]>`
    insert into model (name, engine, fps, sizes, default_size, seconds_min, seconds_max, seconds_default, steps_default,
      steps_max, load_ms, resume)
    values (${model.name}, ${model.engine}, ${model.fps}, ${tx.json(model.sizes.map((size) => ({ ...size })))},
      ${model.defaultSize}, ${model.secondsMin}, ${model.secondsMax}, ${model.secondsDefault}, ${model.stepsDefault},
      ${model.stepsMax}, ${model.loadMs}, ${model.resume})
    on conflict (name) do update set engine = excluded.engine, fps = excluded.fps, sizes = excluded.sizes,
      default_size = excluded.default_size, seconds_min = excluded.seconds_min, seconds_max = excluded.seconds_max,
      seconds_default = excluded.seconds_default, steps_default = excluded.steps_default,
      steps_max = excluded.steps_max, load_ms = excluded.load_ms, resume = excluded.resume
    returning *`;
  if (row === undefined) throw new Error("an upsert returns its row");
  return row;
}

/** Changes what is named; false if there is no such model. */
export async function updateModel(
  tx: Transaction,
  name: string,
  change: { readonly loadMs?: number | undefined; readonly resume?: ModelRow["resume"] | undefined },
): Promise<boolean> {
  const rows = await tx`
    update model set load_ms = coalesce(${change.loadMs ?? null}::int, load_ms),
      resume = coalesce(${change.resume ?? null}::model_resume, resume)
    where name = ${name} returning 1`;
  return rows.length === 1;
}

/** The class as it is from now on, offered again if it was retired. */
export async function upsertClass(tx: Transaction, entry: Omit<ClassRow, "retiredAt">): Promise<ClassRow> {
  const { model, name, resolution, secondsMax, price, gpuMs, shapes } = entry;
  const [row] = await tx<ClassRow[]>`
    insert into model_class (model, name, resolution, seconds_max, price, gpu_ms, shapes)
    values (${model}, ${name}, ${resolution}, ${secondsMax}, ${price}, ${gpuMs}, ${tx.json(shapes.map((shape) => ({ ...shape })))})
    on conflict (model, name) do update set resolution = excluded.resolution, seconds_max = excluded.seconds_max,
      price = excluded.price, gpu_ms = excluded.gpu_ms, shapes = excluded.shapes, retired_at = null
    returning *`;
  if (row === undefined) throw new Error("an upsert returns its row");
  return row;
}

/** Takes it out of the offer; null if there is no such class. */
export async function retireClass(tx: Transaction, model: string, name: string): Promise<ClassRow | null> {
  const [row] = await tx<ClassRow[]>`
    update model_class set retired_at = coalesce(retired_at, now())
    where model = ${model} and name = ${name} returning *`;
  return row ?? null;
}
