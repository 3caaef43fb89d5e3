/** What a device was asked for since the last `reset`. */
export interface DeviceCounts {
  buffers: number;
  bindGroups: number;
  pipelines: number;
  submits: number;
  passes: number;
  dispatches: number;
  /** Bytes of buffers created and not destroyed; `reset` leaves them. */
  liveBytes: number;
  /** Most of them at any time since the last `reset`. */
  peakBytes: number;
  /** Largest binding of a bind group since the last `reset`. */
  largestBinding: number;
}

/** Counts what the device is asked for, from now on. Undo with `restore`. */
export function instrument(device: GPUDevice): {
  readonly counts: DeviceCounts;
  reset(): void;
  restore(): void;
} {
  const zero = {
    buffers: 0,
    bindGroups: 0,
    pipelines: 0,
    submits: 0,
    passes: 0,
    dispatches: 0,
    largestBinding: 0,
  };
  const counts: DeviceCounts = { ...zero, liveBytes: 0, peakBytes: 0 };
  const undo: (() => void)[] = [];
  function wrap<T extends object, K extends keyof T>(
    target: T,
    name: K,
    around: (original: T[K]) => T[K],
  ): void {
    const original = (target[name] as (...args: unknown[]) => unknown).bind(target) as T[K];
    Object.defineProperty(target, name, { value: around(original), configurable: true, writable: true });
    undo.push(() => Reflect.deleteProperty(target, name));
  }
  wrap(device, 'createBuffer', (create) => (descriptor) => {
    const buffer = create(descriptor);
    counts.buffers++;
    counts.liveBytes += descriptor.size;
    counts.peakBytes = Math.max(counts.peakBytes, counts.liveBytes);
    let isAlive = true;
    wrap(buffer, 'destroy', (destroy) => () => {
      if (isAlive) counts.liveBytes -= descriptor.size;
      isAlive = false;
      return destroy();
    });
    return buffer;
  });
  wrap(device, 'createBindGroup', (create) => (descriptor) => {
    counts.bindGroups++;
    for (const { resource } of descriptor.entries) {
      if ('buffer' in resource) {
        counts.largestBinding = Math.max(counts.largestBinding, resource.size ?? resource.buffer.size);
      }
    }
    return create(descriptor);
  });
  wrap(device, 'createComputePipelineAsync', (create) => (descriptor) => {
    counts.pipelines++;
    return create(descriptor);
  });
  wrap(device, 'createCommandEncoder', (createEncoder) => (descriptor) => {
    const encoder = createEncoder(descriptor);
    wrap(encoder, 'beginComputePass', (begin) => (passDescriptor) => {
      counts.passes++;
      const pass = begin(passDescriptor);
      wrap(pass, 'dispatchWorkgroups', (dispatch) => (x, y, z) => {
        counts.dispatches++;
        return dispatch(x, y, z);
      });
      return pass;
    });
    return encoder;
  });
  wrap(device.queue, 'submit', (submit) => (buffers) => {
    counts.submits++;
    return submit(buffers);
  });
  return {
    counts,
    reset: () => void Object.assign(counts, zero, { peakBytes: counts.liveBytes }),
    restore: () => undo.splice(0).forEach((one) => one()),
  };
}
