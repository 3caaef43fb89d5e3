/** A script of its own: fetched once WebGPU has proved absent. */
export { wasmMemoryBudget, WasmModel } from '@speedq/wasm';
