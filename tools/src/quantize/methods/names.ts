/** Methods that quantize block after block and train nothing end to end. */
const BLOCK_METHOD_NAMES = ['clip', 'gptq', 'adaround', 'blockwise'] as const;
export type BlockMethodName = (typeof BLOCK_METHOD_NAMES)[number];

/** Methods that need data, and so the worker. */
export type TrainedMethod = 'speedq' | BlockMethodName;

export const METHODS = ['speedq', 'rtn', ...BLOCK_METHOD_NAMES] as const;
