/** The models that a request may name. */
import { FabricError } from '../../core/errors.ts'
import type { App, ModelView } from '../runtime/app.ts'

/**
 * @param task  what the request wants of it
 * @throws      CF_MODEL_UNKNOWN; CF_MODEL_UNSUPPORTED when the model does something else
 */
export function modelNamed(app: App, name: string, task?: ModelView['task']): ModelView {
  const model = app.models().find(({ id }) => id === name)
  if (model === undefined) throw new FabricError('CF_MODEL_UNKNOWN', { param: 'model' })
  if (task !== undefined && model.task !== task)
    throw new FabricError('CF_MODEL_UNSUPPORTED', { param: 'model', task, offered: model.task })
  return model
}
