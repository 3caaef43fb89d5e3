import { readdirSync, readFileSync } from 'node:fs';

/** Who may import whom: the table in docs/architecture.md. Rooms not listed there import nothing. */
const MAY_IMPORT = {
  'packages/format': [],
  'packages/processor': ['packages/format'],
  'packages/model': ['packages/format'],
  'packages/onnx': ['packages/format', 'packages/model'],
  'packages/kernels': ['packages/format', 'packages/model'],
  'packages/wasm': ['packages/format', 'packages/model', 'packages/kernels'],
  'packages/runtime': [
    'packages/format',
    'packages/model',
    'packages/kernels',
    'packages/wasm',
    'packages/processor',
  ],
  'packages/element': ['packages/runtime'],
  web: ['packages/runtime', 'packages/element'],
  examples: ['packages/runtime', 'packages/element'],
};

/** The files a package's own package.json lets others import: its index.ts, and further entry points. */
const DOORS = readdirSync('packages').flatMap((name) => {
  const { exports } = JSON.parse(readFileSync(`packages/${name}/package.json`, 'utf8'));
  return Object.values(exports).map((file) =>
    `^packages/${name}/${file.replace('./', '')}$`.replaceAll('.', '\\.'),
  );
});

/** It measures what the runtime is made of, beside another runtime. */
const BENCHMARK_PAGE = '^web/src/bench/';

const ANY_ROOM = '^(packages/[^/]+|web|tools|examples)/';

const directions = Object.entries(MAY_IMPORT).map(([room, allowed]) => ({
  name: `direction-${room.replace('packages/', '')}`,
  severity: 'error',
  comment: `${room} may import ${allowed.length > 0 ? allowed.join(', ') : 'no other room'}.`,
  from: { path: `^${room}/`, pathNot: BENCHMARK_PAGE },
  to: { path: ANY_ROOM, pathNot: `^(${[room, ...allowed].join('|')})/` },
}));

export default {
  forbidden: [
    ...directions,
    {
      name: 'direction-benchmark-page',
      severity: 'error',
      comment: 'The benchmark page may import runtime, kernels, model and onnx.',
      from: { path: BENCHMARK_PAGE },
      to: { path: ANY_ROOM, pathNot: '^(web/src/bench|packages/(runtime|kernels|model|onnx))/' },
    },
    {
      name: 'direction-tools',
      severity: 'error',
      comment: 'tools may import everything but web.',
      from: { path: '^tools/' },
      to: { path: '^web/' },
    },
    {
      name: 'nothing-imports-tests',
      severity: 'error',
      from: { pathNot: '^tests/' },
      to: { path: '^tests/' },
    },
    {
      name: 'one-door',
      severity: 'error',
      comment: "A package is entered by its name and through what its package.json's exports name.",
      from: { path: '^(packages/[^/]+|web|tools|tests|scripts)/' },
      to: {
        path: '^packages/[^/]+/',
        pathNot: ['^$1/', ...DOORS],
      },
    },
    { name: 'no-cycle', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'resolvable',
      severity: 'error',
      comment: 'Vite provides the exceptions. Undeclared dependencies are found by `npm run check:unused`.',
      from: {},
      to: { couldNotResolve: true, pathNot: ['^virtual:', '\\?(worker&url|url|raw)$'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(dist|node_modules/\\.)' },
    tsPreCompilationDeps: true,
    combinedDependencies: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'browser', 'default'],
      extensions: ['.ts', '.tsx', '.mjs', '.js', '.json'],
    },
  },
};
