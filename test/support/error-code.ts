/** What a promise failed with, for assertions about coded errors. */
import { type ErrorDetail, FabricError } from '../../core/errors.ts'

/** @returns the code of the FabricError; 'resolved' or 'other: …' when it was none */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  return (await failureOf(work)).code
}

export async function failureOf(
  work: Promise<unknown>,
): Promise<{ readonly code: string; readonly detail: ErrorDetail }> {
  try {
    await work
    return { code: 'resolved', detail: {} }
  } catch (error) {
    return error instanceof FabricError ? error : { code: `other: ${String(error)}`, detail: {} }
  }
}
