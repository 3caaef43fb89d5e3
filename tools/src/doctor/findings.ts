import { formatBytes } from '../output.ts';
import type { Machine } from './machine.ts';

export interface Finding {
  readonly what: string;
  /** False: something speedq does will not work here; `found` says what to do. */
  readonly ok: boolean;
  readonly found: string;
}

/** Something that works, but not at full speed. */
export interface Slowness {
  readonly what: string;
  readonly why: string;
  readonly instead: string;
}

/** Features that kernels, or measuring them, can make use of; --json lists all. */
const USEFUL_FEATURES = ['shader-f16', 'subgroups', 'timestamp-query'];

/** engines.node of package.json. */
const NODE_MINIMUM = [20, 19] as const;
/** Packing and checkpoints of a model of a billion parameters take some. */
const LITTLE_DISK = 5 * 2 ** 30;
/** Training keeps a billion float32 weights, their moments and the teacher. */
const LITTLE_MEMORY = 16 * 2 ** 30;
const FEW_CORES = 8;

export function findingsOf(machine: Machine): Finding[] {
  const { versions, onnxruntime, webgpu, memory, disk, chromium, cores } = machine;
  const node = versions.node!;
  const [major, minor] = node.split('.').map(Number);
  const nodeOk = major > NODE_MINIMUM[0] || (major === NODE_MINIMUM[0] && minor >= NODE_MINIMUM[1]);
  const needs = nodeOk ? '' : `; needs ${NODE_MINIMUM.join('.')} or later: https://nodejs.org`;
  const packages = Object.entries(versions).flatMap(([name, found]) =>
    name === 'node' || found === null ? [] : [`${name} ${found}`],
  );
  const missing = Object.entries(versions).flatMap(([name, found]) => (found === null ? [name] : []));
  return [
    { what: 'Node.js', ok: nodeOk, found: `${node} on ${machine.platform} ${machine.arch}${needs}` },
    {
      what: 'packages',
      ok: missing.length === 0,
      found:
        packages.join(', ') + (missing.length > 0 ? `; missing: ${missing.join(', ')}. Run npm ci.` : ''),
    },
    'error' in onnxruntime
      ? { what: 'onnxruntime', ok: false, found: `does not load: ${onnxruntime.error}. Run npm ci again.` }
      : { what: 'onnxruntime', ok: true, found: `backends ${onnxruntime.backends.join(', ')}` },
    ...webgpuFindings(webgpu),
    {
      what: 'Chromium',
      ok: true,
      found:
        chromium === null
          ? 'none found; only the tests in a browser need it. Install one, or set CHROME_PATH.'
          : `${chromium.version ?? 'found'} (${chromium.path})`,
    },
    { what: 'cores', ok: true, found: `${cores}, ${machine.cpu}` },
    {
      what: 'memory',
      ok: true,
      found: `${formatBytes(memory.available)} available of ${formatBytes(memory.total)}`,
    },
    { what: 'disk', ok: true, found: `${formatBytes(disk.freeBytes)} free in ${disk.folder}` },
  ];
}

function webgpuFindings(webgpu: Machine['webgpu']): Finding[] {
  const what = 'WebGPU';
  if ('error' in webgpu) return [{ what, ok: false, found: webgpu.error }];
  if (webgpu.adapters.length === 0) {
    const found =
      'no adapter: expected a GPU with a Vulkan, Metal or Direct3D 12 driver, or Chromium, whose SwiftShader ' +
      'serves as one. Until then use --engine cpu.';
    return [{ what, ok: false, found }];
  }
  return webgpu.adapters.map(
    ({ vendor, architecture, device, description, isSoftware, features, limits }) => {
      const name = description || device || architecture || vendor || 'unnamed adapter';
      const bytes = (text: string, value: number) => `${text} ${formatBytes(value)}`;
      const found = [
        `${name} (${isSoftware ? 'software' : 'hardware'} adapter)`,
        bytes('buffers to', limits.maxBufferSize),
        bytes('bindings to', limits.maxStorageBufferBindingSize),
        bytes('workgroup memory', limits.maxComputeWorkgroupStorageSize),
        `${limits.maxComputeInvocationsPerWorkgroup} invocations a workgroup`,
        offers('offers', (feature) => features.includes(feature)),
        offers('lacks', (feature) => !features.includes(feature)),
      ];
      return { what, ok: true, found: found.filter((part) => part !== '').join('; ') };
    },
  );
}

function offers(verb: string, holds: (feature: string) => boolean): string {
  const features = USEFUL_FEATURES.filter(holds);
  return features.length > 0 ? `${verb} ${features.join(', ')}` : '';
}

/** What will be slow on this machine, and why. */
export function slownessOf({ webgpu, cores, memory, disk, cpu, arch }: Machine): Slowness[] {
  const slow: Slowness[] = [];
  const adapters = 'adapters' in webgpu ? webgpu.adapters : [];
  if (arch === 'x64' && cpu.startsWith('Apple')) {
    slow.push({
      what: 'everything',
      why: 'this Node.js is for Intel and runs translated on an Apple processor',
      instead: 'Install Node.js for arm64.',
    });
  }
  if (adapters.length > 0 && adapters.every(({ isSoftware }) => isSoftware)) {
    slow.push({
      what: '--engine webgpu',
      why: 'no graphics card was found: its shaders run on the processor',
      instead: 'Use --engine cpu; generate chooses it by itself.',
    });
  }
  const used = adapters.at(0);
  if (used !== undefined && !used.isSoftware) {
    for (const [feature, does] of [
      ['shader-f16', 'reading a prompt and pictures'],
      ['subgroups', 'writing tokens'],
    ]) {
      if (used.features.includes(feature)) continue;
      slow.push({
        what: `--engine webgpu: ${does}`,
        why: `the adapter does not offer ${feature}, which the fastest kernels may use`,
        instead: 'A newer driver may offer it; other kernels are chosen until then.',
      });
    }
  }
  if (cores < FEW_CORES) {
    slow.push({
      what: 'quantize with training, train, eval --engine cpu',
      why: `they run on the processor, also beside a graphics card, and ${cores === 1 ? 'one core is' : `${cores} cores are`} few`,
      instead: 'speedq plan MODEL shows how long each stage takes here; --method rtn takes seconds.',
    });
  }
  if (memory.available < LITTLE_MEMORY) {
    slow.push({
      what: 'quantize with training of a model of a billion parameters',
      why: `${formatBytes(memory.available)} of memory may not hold it: the system would swap, or end it`,
      instead: 'speedq plan MODEL shows what each stage needs.',
    });
  }
  if (disk.freeBytes < LITTLE_DISK) {
    slow.push({
      what: 'quantize and export of large models',
      why: `${formatBytes(disk.freeBytes)} of disk may not hold shards and checkpoints; a run that ends so can be resumed`,
      instead: 'Choose an --out on another disk.',
    });
  }
  return slow;
}
