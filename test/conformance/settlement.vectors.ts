export const file = 'settlement.json'
export { checkEntry as check } from './log-case.ts'
