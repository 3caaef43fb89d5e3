/** Methods that quantize block after block and train nothing end to end. */
const BLOCK_METHOD_NAMES = ['clip', 'gptq', 'awq', 'adaround', 'blockwise'] as const;
export type BlockMethodName = (typeof BLOCK_METHOD_NAMES)[number];

/** Methods in stages, of which --stages may leave some out. */
const STAGED_METHODS = ['speedq', 'best'] as const;
type StagedMethod = (typeof STAGED_METHODS)[number];

/** Methods that need data, and so the worker. */
export type TrainedMethod = StagedMethod | BlockMethodName;

export const METHODS = ['speedq', 'rtn', ...BLOCK_METHOD_NAMES, 'best'] as const;
export type Method = (typeof METHODS)[number];

export function isStaged(method: Method): method is StagedMethod {
  return (STAGED_METHODS as readonly string[]).includes(method);
}
