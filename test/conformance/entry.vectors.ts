export const file = 'entry.json'
export { checkEntry as check } from './log-case.ts'
