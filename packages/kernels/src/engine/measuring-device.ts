/**
 * Stands for a device where only sizes are wanted: buffers have a size and nothing in them, commands go
 * nowhere. What is allocated on it is what a device with these limits would have to hold.
 */
export function measuringDevice(
  limits: Pick<GPUSupportedLimits, 'maxStorageBufferBindingSize' | 'maxBufferSize'>,
): GPUDevice {
  const nothing = (): void => undefined;
  const device = {
    limits,
    createBuffer: ({ size, label }: GPUBufferDescriptor) => ({ size, label, destroy: nothing }),
    createCommandEncoder: () => ({ copyBufferToBuffer: nothing, finish: nothing }),
    queue: { writeBuffer: nothing, submit: nothing },
  };
  return device as unknown as GPUDevice;
}
