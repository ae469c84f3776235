/** Each statement module offers what the real one does, with the same types: the compiler says where it does not. */
type Real = {
  accounts: typeof import("#control-plane/db/accounts.ts");
  "admin-audit": typeof import("#control-plane/db/admin-audit.ts");
  "admission-summary": typeof import("#control-plane/db/admission-summary.ts");
  attempts: typeof import("#control-plane/db/attempts.ts");
  audit: typeof import("#control-plane/db/audit.ts");
  "credit-notices": typeof import("#control-plane/db/credit-notices.ts");
  events: typeof import("#control-plane/db/events.ts");
  "fair-clock": typeof import("#control-plane/db/fair-clock.ts");
  idempotency: typeof import("#control-plane/db/idempotency.ts");
  incidents: typeof import("#control-plane/db/incidents.ts");
  jobs: typeof import("#control-plane/db/jobs.ts");
  leader: typeof import("#control-plane/db/leader.ts");
  leases: typeof import("#control-plane/db/leases.ts");
  ledger: typeof import("#control-plane/db/ledger.ts");
  models: typeof import("#control-plane/db/models.ts");
  "runner-identity": typeof import("#control-plane/db/runner-identity.ts");
  runners: typeof import("#control-plane/db/runners.ts");
  submit: typeof import("#control-plane/db/submit.ts");
  tiers: typeof import("#control-plane/db/tiers.ts");
};
type Modelled = {
  accounts: typeof import("./accounts.ts");
  "admin-audit": typeof import("./admin-audit.ts");
  "admission-summary": typeof import("./admission-summary.ts");
  attempts: typeof import("./attempts.ts");
  audit: typeof import("./audit.ts");
  "credit-notices": typeof import("./credit-notices.ts");
  events: typeof import("./events.ts");
  "fair-clock": typeof import("./fair-clock.ts");
  idempotency: typeof import("./idempotency.ts");
  incidents: typeof import("./incidents.ts");
  jobs: typeof import("./jobs.ts");
  leader: typeof import("./leader.ts");
  leases: typeof import("./leases.ts");
  ledger: typeof import("./ledger.ts");
  models: typeof import("./models.ts");
  "runner-identity": typeof import("./runner-identity.ts");
  runners: typeof import("./runners.ts");
  submit: typeof import("./submit.ts");
  tiers: typeof import("./tiers.ts");
};
/** Helpers that other statement modules share; nothing of the product asks for them. */
type Own = "append" | "moveBooks" | "writeEntry" | "standingKey";
/** Of these only the name is asked for. */
type Loose = "RULES" | "NotLeaderError" | "DEFAULT_MODEL";

type Fits<Name extends keyof Real & keyof Modelled> = {
  [Key in Exclude<keyof Modelled[Name], Own | Loose>]: Key extends keyof Real[Name]
    ? Modelled[Name][Key] extends Real[Name][Key]
      ? true
      : `${Name}: ${Key & string} has another type`
    : `${Name}: ${Key & string} is not offered by the real module`;
}[Exclude<keyof Modelled[Name], Own | Loose>];

type AllFit = {
  [Name in keyof Real]: [Fits<Name>] extends [true] ? true : Exclude<Fits<Name>, true>;
};

/** The names of the modules that `hooks.ts` puts in place of the real ones. */
export const MODELLED: AllFit = {
  accounts: true,
  "admin-audit": true,
  "admission-summary": true,
  attempts: true,
  audit: true,
  "credit-notices": true,
  events: true,
  "fair-clock": true,
  idempotency: true,
  incidents: true,
  jobs: true,
  leader: true,
  leases: true,
  ledger: true,
  models: true,
  "runner-identity": true,
  runners: true,
  submit: true,
  tiers: true,
};
