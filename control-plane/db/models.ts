/** Models and their classes, read as one value. */
import type { ClassShape, Model, ModelClass } from "#control-plane/core/model.ts";
import type { JobClass } from "#control-plane/core/scheduler/job-class.ts";
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

export interface ClassRow {
  readonly model: string;
  readonly name: string;
  readonly gpuMs: number;
  readonly shapes: readonly ClassShape[];
  readonly stepsDefault: number;
  readonly loadMs: number;
  readonly resume: JobClass["resume"];
}

/** Every class, retired ones too, with what the scheduler needs of its model. */
export async function allClasses(sql: Sql): Promise<readonly ClassRow[]> {
  return sql<ClassRow[]>`
    select c.model, c.name, c.gpu_ms, c.shapes, m.steps_default, m.load_ms, m.resume
    from model_class c join model m on m.name = c.model order by c.model, c.name`;
}
