/**
 * A WebGPU device in Node (Dawn), for tests, the command line and benchmarks. The engine itself only ever
 * sees the device it is given.
 */
import { existsSync } from 'node:fs';
import os from 'node:os';
import { SpeedqError } from '@speedq/format';
import { optionalFeatures } from './engine/capabilities.ts';

export interface NodeDevice {
  readonly device: GPUDevice;
  readonly info: GPUAdapterInfo;
  /** Extensions of WGSL. */
  readonly languageFeatures: Pick<ReadonlySet<string>, 'has'>;
  /** A CPU rasteriser such as SwiftShader: right, and slow. Say so wherever speed is shown. */
  readonly isSoftware: boolean;
}

/** Where Chromium packages keep SwiftShader and the Vulkan loader that finds it. */
const CHROMIUM_FOLDERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'];

/** glibc: keep a library mapped after dlclose, so that a later dlopen by its soname finds it. */
const RTLD_NODELETE = 0x1000;

/**
 * SwiftShader compiles the zeroing of workgroup memory word by word, a second or more per program. The
 * programs here write all they read, so it may be left out; Chromium on SwiftShader takes the same feature
 * name with --enable-dawn-features.
 */
const SOFTWARE_DAWN_FLAGS = ['enable-dawn-features=disable_workgroup_init'];

/** Dawn's root object; the device is invalid once this is collected. */
let root: GPU | undefined;

/**
 * Lets Dawn find Chromium's software Vulkan driver on Linux where nothing else is configured. Settings
 * made from outside win.
 */
function offerSoftwareDriver(): void {
  if (process.platform !== 'linux' || process.env.VK_ICD_FILENAMES !== undefined) return;
  const hardware = existsSync('/dev/dri/renderD128') || existsSync('/dev/nvidia0');
  const folder = CHROMIUM_FOLDERS.find((path) => existsSync(`${path}/vk_swiftshader_icd.json`));
  if (folder === undefined || hardware) return;
  process.env.VK_ICD_FILENAMES = `${folder}/vk_swiftshader_icd.json`;
  process.env.XDG_RUNTIME_DIR ??= os.tmpdir();
  const loader = `${folder}/libvulkan.so.1`;
  if (!existsSync(loader)) return;
  try {
    // Machines without libvulkan1 still have Chromium's copy. Node refuses it as an addon, but by then it
    // is mapped under the soname that Dawn asks for.
    const flags = os.constants.dlopen.RTLD_NOW | os.constants.dlopen.RTLD_GLOBAL | RTLD_NODELETE;
    process.dlopen({ exports: {} }, loader, flags);
  } catch {
    // Expected: it is no Node addon.
  }
}

export interface NodeDeviceOptions {
  /** 'adapter': all the adapter offers. */
  readonly limits?: 'default' | 'adapter';
  /** 'optional': those that variants of the kernels can make use of. */
  readonly features?: 'none' | 'optional';
}

/**
 * A device with default limits and no feature, unless asked for more.
 * @throws SpeedqError 'no-webgpu' where there is no adapter, or the optional package `webgpu` is missing.
 */
export async function requestNodeDevice({
  limits = 'default',
  features = 'none',
}: NodeDeviceOptions = {}): Promise<NodeDevice> {
  const dawn = await openDawn();
  const adapter = await dawn.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) {
    throw new SpeedqError(
      'no-webgpu',
      'Found no WebGPU adapter: expected a GPU with a Vulkan, Metal or Direct3D 12 driver, or an installed ' +
        'Chromium whose SwiftShader serves as software adapter. Install chromium, or use the CPU engine.',
    );
  }
  const device = await adapter.requestDevice({
    ...(limits === 'adapter' ? { requiredLimits: adapterLimits(adapter.limits) } : {}),
    ...(features === 'optional' ? { requiredFeatures: optionalFeatures(adapter) } : {}),
  });
  const { info } = adapter;
  return { device, info, isSoftware: isSoftware(info), languageFeatures: dawn.wgslLanguageFeatures };
}

function isSoftware({ isFallbackAdapter, architecture, description }: GPUAdapterInfo): boolean {
  return isFallbackAdapter || /swiftshader|llvmpipe|lavapipe/i.test(`${architecture} ${description}`);
}

/** What an adapter says of itself, for reports. */
export interface NodeAdapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly isSoftware: boolean;
  readonly features: readonly string[];
  /** Those that decide what models and kernels fit; bytes, or counts. */
  readonly limits: Readonly<Record<(typeof REPORTED_LIMITS)[number], number>>;
}

const REPORTED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxStorageBuffersPerShaderStage',
] as const;

/**
 * The different adapters that WebGPU lets a program ask for, the one that would be used first; none where there
 * is none.
 * @throws SpeedqError 'no-webgpu' where the optional package `webgpu` is missing.
 */
export async function listNodeAdapters(): Promise<NodeAdapter[]> {
  const dawn = await openDawn();
  const found = new Map<string, NodeAdapter>();
  for (const request of [
    { powerPreference: 'high-performance' },
    { powerPreference: 'low-power' },
    { forceFallbackAdapter: true },
  ] as const) {
    const adapter = await dawn.requestAdapter(request);
    if (adapter === null) continue;
    const { vendor, architecture, device, description } = adapter.info;
    const key = [vendor, architecture, device, description].join('\n');
    if (found.has(key)) continue;
    found.set(key, {
      ...{ vendor, architecture, device, description, isSoftware: isSoftware(adapter.info) },
      features: [...(adapter.features as ReadonlySet<string>)].sort(),
      limits: Object.fromEntries(
        REPORTED_LIMITS.map((name) => [name, adapter.limits[name]]),
      ) as NodeAdapter['limits'],
    });
  }
  return [...found.values()];
}

async function openDawn(): Promise<GPU> {
  if (root !== undefined) return root;
  offerSoftwareDriver();
  try {
    const { create, globals } = await import('webgpu');
    Object.assign(globalThis, globals);
    root = create(/swiftshader/.test(process.env.VK_ICD_FILENAMES ?? '') ? SOFTWARE_DAWN_FLAGS : []);
    return root;
  } catch (cause) {
    throw new SpeedqError(
      'no-webgpu',
      'The package "webgpu" (Dawn for Node) cannot be loaded: npm install webgpu.',
      { cause },
    );
  }
}

/** The limits the engine can make use of. */
function adapterLimits(limits: GPUSupportedLimits): Record<string, number> {
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize } = limits;
  return { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize };
}

/**
 * For tests: a device with default limits, or null (say "skipped") where there is no adapter; under
 * REQUIRE_GPU=1 its absence is an error.
 */
export async function requestTestDevice(options?: NodeDeviceOptions): Promise<NodeDevice | null> {
  try {
    return await requestNodeDevice(options);
  } catch (error) {
    if (process.env.REQUIRE_GPU === '1') throw error;
    console.warn(`GPU tests skipped: ${(error as Error).message}`);
    return null;
  }
}
