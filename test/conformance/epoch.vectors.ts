export const file = 'epoch.json'
export { checkEntry as check } from './log-case.ts'
