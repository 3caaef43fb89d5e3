export { wasmMemoryBudget } from './model/memory.ts';
export { HostImageFeatures, WasmModel } from './model/wasm-model.ts';
export type { WasmModelOptions } from './model/wasm-model.ts';
