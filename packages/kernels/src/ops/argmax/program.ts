import type { Program } from '../../engine/program.ts';
import { floats, params, program, words } from '../../engine/program.ts';

const THREADS = 256;
/** Candidates that a thread of the last stage asks for before it uses the first. */
const AHEAD = 8;
/** Logits per workgroup of the first stage. */
export const ARGMAX_CHUNK = THREADS * 16;

/** The better of two candidates: higher value, then lower index, whatever order they were found in. */
const CANDIDATES = `
const THREADS = ${THREADS}u;
var<workgroup> best_value: array<f32, THREADS>;
var<workgroup> best_index: array<u32, THREADS>;

fn reduce(lid: u32, value: f32, index: u32) {
  best_value[lid] = value;
  best_index[lid] = index;
  for (var step = THREADS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lid < step) {
      let v = best_value[lid + step];
      let i = best_index[lid + step];
      if (v > best_value[lid] || (v == best_value[lid] && i < best_index[lid])) {
        best_value[lid] = v;
        best_index[lid] = i;
      }
    }
  }
}`;

/** Logits [vocabulary] → one (value, index) per chunk, in partials. */
export function argmaxChunksProgram(vocabulary: number): Program {
  return program(
    'argmax chunks',
    { logits: floats('read'), partial_values: floats('write'), partial_indices: words('write') },
    `
${CANDIDATES}
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let end = min(${vocabulary}u, (wid.x + 1u) * ${ARGMAX_CHUNK}u);
  var value = -3.4e38f;
  var index = ${vocabulary - 1}u;
  for (var i = wid.x * ${ARGMAX_CHUNK}u + lid; i < end; i += THREADS) {
    if (logits[i] > value) { value = logits[i]; index = i; }
  }
  reduce(lid, value, index);
  if (lid == 0u) {
    partial_values[wid.x] = best_value[0];
    partial_indices[wid.x] = best_index[0];
  }
}`,
  );
}

/**
 * The best partial becomes \`next\` (the id the following decode step embeds) and tokens[generated]; then the
 * parameters move on, so that steps can follow each other without the CPU.
 */
export function argmaxFinalProgram(partials: number): Program {
  const loads = Array.from({ length: AHEAD }, (_, i) => i);
  return program(
    'argmax final',
    {
      state: { ...params, access: 'write' },
      partial_values: floats('read'),
      partial_indices: words('read'),
      next: words('write'),
      tokens: words('write'),
    },
    `
${CANDIDATES}
@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) lid: u32) {
  var value = -3.4e38f;
  var index = 0xffffffffu;
  // Several are read at once: one after the other, most of the time would be waiting.
  for (var i = lid; i < ${partials}u; i += THREADS * ${AHEAD}u) {
    ${loads.map((j) => `let i${j} = min(i + ${j}u * THREADS, ${partials - 1}u); let v${j} = partial_values[i${j}];`).join('\n    ')}
    ${loads.map((j) => `if (v${j} > value || index == 0xffffffffu) { value = v${j}; index = i${j}; }`).join('\n    ')}
  }
  // Candidates are in the order of their ids.
  reduce(lid, value, index);
  if (lid == 0u) {
    let id = partial_indices[min(best_index[0], ${partials - 1}u)];
    next[0] = id;
    tokens[state.generated] = id;
    state.generated += 1u;
    state.past += state.count;
  }
}`,
  );
}
