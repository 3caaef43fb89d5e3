import { packedBytes } from '@speedq/format';
import type { PackedManifest } from '@speedq/format';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FloatModelFolder } from '../../model-folder.ts';
import { summarizeStorage } from '../../packing/summary.ts';
import { MODEL_CARD_FILE, renderModelCard } from './model-card.ts';
import { REPORT_FILE, renderReport } from './report.ts';
import type { ReportContent } from './report.ts';

/** Report and model card into a packed folder; its manifest does not list them. */
export async function writeReport(
  out: string,
  folder: FloatModelFolder,
  manifest: PackedManifest,
  content: Omit<ReportContent, 'model' | 'storage'>,
): Promise<void> {
  const stored = folder.tensors.parameters.map((parameter) => {
    const { scheme } = manifest.tensors.get(parameter.name)!;
    return { parameter, scheme, bytes: packedBytes(scheme, parameter.shape, parameter.name) };
  });
  const whole = { ...content, model: folder.name, storage: summarizeStorage(stored) };
  await writeFile(join(out, REPORT_FILE), renderReport(whole));
  await writeFile(join(out, MODEL_CARD_FILE), renderModelCard(whole, hubName(folder)));
}

const RECORDED_NAME = '_name_or_path';

/** transformers writes where a model came from into its configuration. */
function hubName({ configJson, name }: FloatModelFolder): string {
  const recorded = configJson[RECORDED_NAME];
  return typeof recorded === 'string' && /^[\w.-]+\/[\w.-]+$/.test(recorded) ? recorded : name;
}
