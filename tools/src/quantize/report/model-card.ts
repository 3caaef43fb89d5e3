import { formatBytes } from '../../output.ts';
import type { ReportContent } from './report.ts';
import { REPORT_FILE } from './report.ts';

export const MODEL_CARD_FILE = 'README.md';

/**
 * The card by which the Hugging Face hub lists the model. It tells what is known for certain and nothing that two
 * runs would tell differently. `baseModel`: the float model's id on the hub, or its name.
 */
export function renderModelCard(
  { method, recipe, storage, summary, seed }: ReportContent,
  baseModel: string,
): string {
  const bytes = storage.reduce((sum, row) => sum + row.bytes, 0);
  const parameters = storage.reduce((sum, row) => sum + row.parameters, 0);
  const bits = ((bytes * 8) / parameters).toFixed(2);
  const rows = storage.map(
    (row) =>
      `| ${row.part} | ${row.scheme} | ${row.parameters} | ${row.bytes} | ${row.bitsPerWeight.toFixed(3)} |`,
  );
  const divergence = summary?.divergence;
  const measured = divergence
    ? `\nOn ${divergence.tokens} answer tokens of ${divergence.conversations} conversations kept out of calibration, the KL ` +
      `divergence of the float model's next-token distribution to this one's is ${divergence.kl.toPrecision(3)} nats a ` +
      `token, and both hold the same token most probable at ${(100 * divergence.sameToken).toFixed(1)} %.\n`
    : '';
  return `---
base_model: ${JSON.stringify(baseModel)}
base_model_relation: quantized
pipeline_tag: image-text-to-text
library_name: speedq
tags:
  - speedq
  - quantized
  - webgpu
  - internvl
---

# ${baseModel}, ${recipe.name}

${baseModel} quantized by speedq: method ${method}, recipe ${recipe.name}${
    seed === undefined ? '' : `, seed ${seed}`
  }${summary?.teacher === undefined ? '' : `, taught by ${summary.teacher}`}. ${formatBytes(bytes)} of weights, ${bits} bits each on average.
${measured}
| part | scheme | weights | bytes | bits a weight |
| --- | --- | ---: | ---: | ---: |
${rows.join('\n')}

How it was made is in [${REPORT_FILE}](${REPORT_FILE}); \`config.json\` has the schemes, \`manifest.json\` the size and
SHA-256 of every file. The licence is the base model's.
`;
}
