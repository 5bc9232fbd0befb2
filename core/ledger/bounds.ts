/** Bounds of the ledger that no wire format depends on but the encoded account. */
export const LEDGER_LIMITS = {
  /** Distinct vesting times of one account; beyond it they are merged to whole days and more. */
  vestingEntryCountMax: 32,
  /** Any balance, either sign: far inside an int64. */
  balanceMicroMax: 2n ** 62n,
} as const
