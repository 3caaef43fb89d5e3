import { requestNodeDevice } from '@speedq/kernels/node';
import { statfs } from 'node:fs/promises';
import { availableParallelism, freemem, totalmem } from 'node:os';
import { defineCommand } from '../cli/command.ts';
import { formatBytes } from '../output.ts';

interface Finding {
  readonly what: string;
  /** False: something speedq does will not work here. */
  readonly ok: boolean;
  readonly found: string;
}

/** engines.node of package.json. */
const NODE_MINIMUM = [20, 19] as const;

export const doctor = defineCommand({
  args: {},
  options: {},
  examples: [
    { does: 'What works here, and what will be slow', line: 'doctor' },
    { does: 'For a report or a program', line: 'doctor --json' },
  ],
  async run({ output }) {
    const findings = [
      nodeVersion(),
      await onnxruntime(),
      await webgpu(),
      {
        what: 'memory',
        ok: true,
        found: `${formatBytes(freemem())} free of ${formatBytes(totalmem())}`,
      },
      await disk(),
      { what: 'cores', ok: true, found: `${availableParallelism()}` },
    ];
    output.table(findings.map(({ what, ok, found }) => [ok ? 'ok' : '!!', what, found]));
    const missing = findings.filter(({ ok }) => !ok).map(({ what }) => what);
    return { healthy: missing.length === 0, missing, findings };
  },
});

function nodeVersion(): Finding {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const ok = major > NODE_MINIMUM[0] || (major === NODE_MINIMUM[0] && minor >= NODE_MINIMUM[1]);
  const wanted = ok ? '' : `; needs ${NODE_MINIMUM.join('.')} or later`;
  return {
    what: 'Node.js',
    ok,
    found: `${process.versions.node} on ${process.platform} ${process.arch}${wanted}`,
  };
}

async function onnxruntime(): Promise<Finding> {
  const what = 'onnxruntime';
  try {
    const { env, listSupportedBackends } = await import('onnxruntime-node');
    const backends = listSupportedBackends().map(({ name }) => name);
    return { what, ok: true, found: `${env.versions.node ?? 'loads'}, backends ${backends.join(', ')}` };
  } catch (error) {
    return { what, ok: false, found: `does not load: ${(error as Error).message}. Run npm ci again.` };
  }
}

async function webgpu(): Promise<Finding> {
  const what = 'WebGPU';
  try {
    const { device, info, isSoftware } = await requestNodeDevice();
    const name = info.description || info.device || info.architecture || info.vendor || 'unnamed adapter';
    const features = ['shader-f16', 'subgroups', 'timestamp-query'].filter((f) => device.features.has(f));
    device.destroy();
    const kind = isSoftware ? 'software adapter, right but slow' : 'hardware adapter';
    return { what, ok: true, found: `${name} (${kind}); ${features.join(', ') || 'no optional features'}` };
  } catch (error) {
    return { what, ok: false, found: (error as Error).message };
  }
}

async function disk(): Promise<Finding> {
  const { bavail, bsize } = await statfs(process.cwd());
  return { what: 'disk', ok: true, found: `${formatBytes(bavail * bsize)} free in this folder` };
}
