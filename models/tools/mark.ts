/** Marks in a text that comes in pieces. */

/** @returns where the text ends in what may be the beginning of the mark, or its length */
export function beginningOf(mark: string, text: string): number {
  for (let at = Math.max(0, text.length - mark.length + 1); at < text.length; at += 1) {
    if (mark.startsWith(text.slice(at))) return at
  }
  return text.length
}
