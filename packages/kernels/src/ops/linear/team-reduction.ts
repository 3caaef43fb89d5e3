import type { MatvecVariant } from './matvec-variants.ts';

/** Threads in teams of `lanes`: 'rows' puts neighbouring threads into different teams, 'units' into the same. */
export interface TeamLayout {
  readonly threads: number;
  readonly lanes: number;
  readonly order: 'rows' | 'units';
}

/**
 * WGSL that adds up what the threads of a team hold in each variable `name`, through the workgroup array `array`
 * of one element per thread. After `code`, which ends in a barrier, the sum of team t is that of
 * array[at(t)] for i in 0…count-1.
 */
export function reduceTeams(
  { threads, lanes, order }: TeamLayout,
  reduction: MatvecVariant['reduction'],
  variables: readonly { readonly name: string; readonly array: string }[],
): {
  readonly builtins: string;
  readonly code: string;
  readonly count: string;
  readonly at: (team: string) => string;
} {
  const teams = threads / lanes;
  const byRows = order === 'rows';
  const store = variables.map(({ name, array }) => `${array}[lid] = ${name};`).join('\n  ');
  const barrier = 'workgroupBarrier();';
  if (reduction === 'scan') {
    return {
      builtins: '',
      code: `${store}\n  ${barrier}`,
      count: `${lanes}u`,
      at: (team) => (byRows ? `i * ${teams}u + ${team}` : `${team} * ${lanes}u + i`),
    };
  }
  if (reduction === 'tree') {
    const apart = byRows ? `step * ${teams}u` : 'step';
    const add = variables.map(({ array }) => `${array}[lid] += ${array}[lid + ${apart}];`).join(' ');
    return {
      builtins: '',
      code: `${store}
  for (var step = ${lanes / 2}u; step > 0u; step /= 2u) {
    ${barrier}
    if (lane < step) { ${add} }
  }
  ${barrier}`,
      count: '1u',
      at: (team) => (byRows ? team : `${team} * ${lanes}u`),
    };
  }
  // Neighbours in a subgroup are taken to be neighbours in the workgroup. The specification does not promise it
  // (hence the self-test), adapters do it. A subgroup has 4 to 128 threads; `span` of them share a team's sum.
  const [first, limit] = byRows ? [teams, threads] : [1, lanes];
  const add = variables.map(({ name }) => `${name} += subgroupShuffleXor(${name}, mask);`).join(' ');
  return {
    builtins: ', @builtin(subgroup_size) subgroup_size: u32',
    code: `let span = min(subgroup_size, ${limit}u);
  for (var mask = ${first}u; mask < span; mask *= 2u) { ${add} }
  ${store}
  ${barrier}`,
    count: byRows ? `(THREADS / span)` : `(${lanes}u / span)`,
    at: (team) => (byRows ? `i * span + ${team}` : `${team} * ${lanes}u + i * span`),
  };
}
