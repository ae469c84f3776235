/** The choices a credit calculator is made with, filled up with their defaults. */

/** A make-good grant lives this long unless the operator says otherwise. */
const MAKE_GOOD_SECONDS = 72 * 3_600;

export interface CreditPolicy {
  /** Is a grant still good at the second `expiresAt` itself? */
  readonly end: "exclusive" | "inclusive";
  /**
   * What a use does that the credits do not cover: nothing at all (`reject`), spend what is there (`clamp`), leave a debt
   * that the next credits repay (`debt`), or make the account worthless from then on (`poison`).
   */
  readonly overdraw: "clamp" | "reject" | "debt" | "poison";
  /** How a balance says that nothing is left. */
  readonly empty: "null" | "zero";
  readonly makeGoodSeconds: number;
}

export function creditPolicy(chosen: Partial<CreditPolicy>): CreditPolicy {
  return { end: "exclusive", overdraw: "reject", empty: "zero", makeGoodSeconds: MAKE_GOOD_SECONDS, ...chosen };
}
