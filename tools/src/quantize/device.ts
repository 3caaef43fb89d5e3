import { parameterInventory } from '@speedq/model';
import type { InternVLConfig, ModelPart } from '@speedq/model';
import { DeviceMemory, hasHalfStorage, hostMemory, requireProvider } from '@speedq/onnx';
import type {
  ExecutionProvider,
  Feed,
  FloatStorage,
  Memory,
  OrtModule,
  ParameterValues,
  Parameters,
} from '@speedq/onnx';
import { DeviceOptimizer } from './device-optimizer.ts';
import { Optimizer } from './optimizer.ts';
import type { OptimizedParameter, UpdateSettings } from './optimizer.ts';
import type { State } from './state-file.ts';

export const DEVICES = ['cpu', 'webgpu', 'cuda'] as const satisfies readonly ExecutionProvider[];

/** What trains, and where what it works on lives. */
export interface Device {
  readonly provider: ExecutionProvider;
  /** Whether values stay in JavaScript's arrays, trained ones changing in place. */
  readonly isHost: boolean;
  readonly memory: Memory;
  /** How weights that do not train are kept there. */
  readonly frozen: FloatStorage;
  /** Parameters of some parts that do not train, as sessions of the device are best given them. */
  openFrozen(
    config: InternVLConfig,
    parameters: Parameters,
    wanted: { readonly parts: readonly ModelPart[]; readonly storage: FloatStorage },
  ): Promise<FrozenParameters>;
  openOptimizer(parameters: readonly OptimizedParameter<Float32Array | Feed>[]): Promise<ResidentOptimizer>;
  release(): Promise<void>;
}

export interface FrozenParameters {
  readonly values: ParameterValues;
  release(): void;
}

/** AdamW on tensors of a device's memory; `Optimizer` says what its parts mean. */
export interface ResidentOptimizer {
  readonly steps: number;
  /** Until the next update. */
  parameters(): ReadonlyMap<string, Float32Array | Feed>;
  /** On the host. */
  values(): Promise<ReadonlyMap<string, Float32Array>>;
  update(gradients: ReadonlyMap<string, Feed>, settings: UpdateSettings): Promise<number>;
  state(): Promise<Map<string, Float32Array>>;
  restore(state: State, steps: number): Promise<void>;
  release(): Promise<void>;
}

/** Throws `no-webgpu` or `unsupported` where the machine lacks it. CUDA computes there and keeps everything here. */
export async function openDevice(ort: OrtModule, provider: ExecutionProvider): Promise<Device> {
  if (provider !== 'cpu') await requireProvider(ort, provider);
  if (provider !== 'webgpu') {
    return {
      provider,
      isHost: true,
      memory: hostMemory(ort),
      frozen: 'float32',
      openFrozen: (_config, values) => Promise.resolve({ values, release: () => undefined }),
      openOptimizer: (parameters) => Promise.resolve(new HostOptimizer(parameters)),
      release: () => Promise.resolve(),
    };
  }
  const memory = new DeviceMemory(ort);
  return {
    provider,
    isHost: false,
    memory,
    frozen: (await hasHalfStorage(ort)) ? 'float16' : 'float32',
    openFrozen: (config, parameters, wanted) => uploadFrozen(ort, memory, config, parameters, wanted),
    openOptimizer: (parameters) => DeviceOptimizer.create(ort, memory, parameters),
    release: () => memory.release(),
  };
}

async function uploadFrozen(
  ort: OrtModule,
  memory: Memory,
  config: InternVLConfig,
  parameters: Parameters,
  { parts, storage }: { readonly parts: readonly ModelPart[]; readonly storage: FloatStorage },
): Promise<FrozenParameters> {
  const values = new Map<string, Feed>();
  for (const { name, shape, part } of parameterInventory(config)) {
    const data = parts.includes(part) ? parameters.get(name) : undefined;
    if (data === undefined) continue;
    const feeds = new Map([[name, new ort.Tensor('float32', data, shape)]]);
    for (const [key, tensor] of await memory.upload(feeds, storage)) values.set(key, tensor);
  }
  return {
    values,
    release: () => {
      for (const tensor of values.values()) memory.free(tensor);
    },
  };
}

class HostOptimizer implements ResidentOptimizer {
  private readonly optimizer: Optimizer;

  constructor(parameters: readonly OptimizedParameter<Float32Array | Feed>[]) {
    this.optimizer = new Optimizer(parameters.map((one) => ({ ...one, data: valuesOf(one.data) })));
  }

  get steps(): number {
    return this.optimizer.steps;
  }

  parameters(): ReadonlyMap<string, Float32Array> {
    return this.optimizer.views();
  }

  values(): Promise<ReadonlyMap<string, Float32Array>> {
    return Promise.resolve(this.optimizer.views());
  }

  update(gradients: ReadonlyMap<string, Feed>, settings: UpdateSettings): Promise<number> {
    const arrays = new Map([...gradients].map(([name, tensor]) => [name, valuesOf(tensor)]));
    return Promise.resolve(this.optimizer.update(arrays, settings));
  }

  state(): Promise<Map<string, Float32Array>> {
    return Promise.resolve(this.optimizer.state());
  }

  restore(state: State, steps: number): Promise<void> {
    this.optimizer.restore(state, steps);
    return Promise.resolve();
  }

  release(): Promise<void> {
    return Promise.resolve();
  }
}

function valuesOf(data: Float32Array | Feed): Float32Array {
  return data instanceof Float32Array ? data : (data.data as Float32Array);
}
