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
