import { systemClock } from '../../node/runtime/system.ts'
import { clockSuite } from './clock.suite.ts'

clockSuite('system', () => systemClock).run()
