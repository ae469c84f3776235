/** Models and their classes, read as one value. */
import type { Model, ModelClass } from "#control-plane/core/model.ts";
import type { Sql, Transaction } from "./connect.ts";

export const DEFAULT_MODEL = "reference";

export async function findModel(tx: Sql | Transaction, name: string): Promise<Model | null> {
  const [models, classes] = await Promise.all([
    tx<Omit<Model, "classes">[]>`select * from model where name = ${name}`,
    tx<ModelClass[]>`select * from model_class where model = ${name}`,
  ]);
  const [model] = models;
  return model === undefined ? null : { ...model, classes };
}

export interface ClassRow {
  readonly model: string;
  readonly name: string;
  readonly gpuMs: number;
  readonly vramBytes: bigint;
  readonly stepsDefault: number;
}

/** Every class with what the scheduler needs of its model. */
export async function allClasses(sql: Sql): Promise<readonly ClassRow[]> {
  return sql<ClassRow[]>`
    select c.model, c.name, c.gpu_ms, c.vram_bytes, m.steps_default
    from model_class c join model m on m.name = c.model order by c.model, c.name`;
}
