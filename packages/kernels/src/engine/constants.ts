/** Values fixed by the WebGPU specification, so that no global is needed where the device was made elsewhere. */
export const bufferUsage = {
  mapRead: 0x0001,
  copySource: 0x0004,
  copyDestination: 0x0008,
  uniform: 0x0040,
  storage: 0x0080,
  queryResolve: 0x0200,
} as const;

export const MAP_MODE_READ = 0x0001;
export const STAGE_COMPUTE = 0x4;
