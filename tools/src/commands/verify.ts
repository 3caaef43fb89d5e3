import { SpeedqError } from '@speedq/format';
import type { ErrorCode } from '@speedq/format';
import { defineCommand } from '../cli/command.ts';
import { openModelFolder, requirePacked } from '../model-folder.ts';
import type { PackedModelFolder } from '../model-folder.ts';
import { formatBytes } from '../output.ts';
import { verifyPackedModel } from '../packing/verify.ts';

export const verify = defineCommand({
  args: { model: { description: 'folder of a packed model' } },
  options: {},
  examples: [{ does: 'After a copy or a download', line: 'verify web/public/models/pico-2bit' }],
  async run({ args, output, progress, signal }) {
    const folder = await open(args.model);
    try {
      const task = progress.start('verifying');
      const problems = await verifyPackedModel(folder, {
        signal,
        onStep: (done, total) => {
          task.total = total;
          task.update(done);
        },
      });
      for (const problem of problems) {
        output.event('problem', { ...problem });
        output.print(`! ${problem.message}`);
      }
      if (problems.length > 0) {
        const more = problems.length === 1 ? '' : ` (and ${problems.length - 1} more)`;
        throw new SpeedqError('verification-failed', `${args.model}: ${problems[0].message}${more}`);
      }
      const { files, tensors } = folder.weights.manifest;
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      task.finish('all checks passed');
      output.print(
        `${folder.name}: ${files.length} files (${formatBytes(bytes)}), ${tensors.size} tensors, all as listed`,
      );
      return { verified: true, name: folder.name, files: files.length, tensors: tensors.size, bytes };
    } finally {
      await folder.close();
    }
  },
});

/** A folder that is a model but cannot even be opened has failed verification. */
const UNVERIFIED: readonly ErrorCode[] = [
  'invalid-config',
  'invalid-manifest',
  'invalid-safetensors',
  'missing-tensor',
  'unexpected-tensor',
  'shape-mismatch',
  'file-truncated',
];

async function open(path: string): Promise<PackedModelFolder> {
  try {
    const folder = await openModelFolder(path);
    try {
      return requirePacked(folder);
    } catch (error) {
      await folder.close();
      throw error;
    }
  } catch (cause) {
    if (!(cause instanceof SpeedqError) || !UNVERIFIED.includes(cause.code)) throw cause;
    throw new SpeedqError('verification-failed', `${path}: ${cause.message}`, { cause });
  }
}
