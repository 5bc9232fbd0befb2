/** Waits for what another part does in its own time. */

const PAUSE_MS = 10

/** Asks again until it is so; the limit of the test ends a wait for what never comes. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
}
