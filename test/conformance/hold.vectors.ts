export const file = 'hold.json'
export { checkEntry as check } from './log-case.ts'
