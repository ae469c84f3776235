/** As `control-plane/db/models.ts`: the terms never change while a seed runs. */
import type { Model } from "#control-plane/core/model.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import type { ClassRow, ModelRow } from "#control-plane/db/models.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";

export const DEFAULT_MODEL = "reference";

export function findModel(sql: Sql | Transaction, name: string): Promise<Model | null> {
  return statement(sql, "findModel", (on): Model | null => {
    const model = on.get(tables().model, name);
    if (model === null) return null;
    return { ...model, classes: [...on.rows(tables().class)].filter((row) => row.model === name) };
  });
}

export function allClasses(sql: Sql | Transaction): Promise<readonly ClassRow[]> {
  return statement(sql, "allClasses", (on) => [...on.rows(tables().class)]);
}

export function allModels(sql: Sql | Transaction): Promise<readonly ModelRow[]> {
  return statement(sql, "allModels", (on) => [...on.rows(tables().model)]);
}
