export const file = 'dispute.json'
export { checkEntry as check } from './log-case.ts'
