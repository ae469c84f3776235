/**
 * Where an account or a tier stands in virtual time, and what a dispatch moves it by.
 *
 * A claim never stands before virtual time as it was when it last came back: idling banks nothing, and neither does a refund
 * for something older than that.
 */
export interface Claim {
  tag: number;
  /** Where it would stand without what was charged before it last came back: as if it had come with nothing running. */
  floor: number;
  /** How often it came back. */
  comebacks: number;
}

export function newClaim(tag: number): Claim {
  return { tag, floor: tag, comebacks: 0 };
}

/** It comes back at this virtual time: what it did not use until now is gone. */
export function comeBack(claim: Claim, virtual: number): void {
  claim.tag = Math.max(claim.tag, virtual);
  claim.floor = virtual;
  claim.comebacks++;
}

export function charge(claim: Claim, units: number): void {
  claim.tag += units;
  claim.floor += units;
}

/**
 * Gives back what was charged at that comeback. An older charge was forgotten as far as virtual time has passed it: given
 * back in full, it would be credit for the time away.
 */
export function giveBack(claim: Claim, units: number, comebacks: number): void {
  if (comebacks !== claim.comebacks) {
    claim.tag = Math.max(claim.floor, claim.tag - units);
    return;
  }
  claim.tag -= units;
  claim.floor -= units;
}
