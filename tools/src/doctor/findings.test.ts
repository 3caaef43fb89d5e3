import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { findingsOf, slownessOf } from './findings.ts';
import { inspectMachine } from './machine.ts';
import type { Machine } from './machine.ts';

const GIB = 2 ** 30;

const card = {
  ...{ vendor: 'maker', architecture: 'new', device: '', description: 'Fast Card', isSoftware: false },
  features: ['shader-f16', 'subgroups'],
  limits: {
    maxBufferSize: 4 * GIB,
    maxStorageBufferBindingSize: 2 * GIB,
    maxComputeWorkgroupStorageSize: 32768,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxStorageBuffersPerShaderStage: 10,
  },
};

const strong: Machine = {
  versions: {
    speedq: '1.0.0',
    node: '22.1.0',
    'onnxruntime-node': '1.30.0',
    webgpu: '0.6.2',
    sharp: '0.35.5',
  },
  ...{ platform: 'linux', arch: 'x64', cpu: 'Some CPU', cores: 32 },
  memory: { total: 64 * GIB, available: 48 * GIB },
  disk: { folder: '/data', freeBytes: 500 * GIB },
  onnxruntime: { backends: ['cpu'] },
  webgpu: { adapters: [card] },
  chromium: { path: '/usr/bin/chromium', version: 'Chromium 150' },
};

test('a strong machine: all is well, nothing is slow', () => {
  expect(findingsOf(strong).filter(({ ok }) => !ok)).toEqual([]);
  expect(slownessOf(strong)).toEqual([]);
  const { found } = findingsOf(strong).find(({ what }) => what === 'WebGPU')!;
  expect(found).toMatch(
    /Fast Card \(hardware adapter\).*4\.0 GiB.*2\.0 GiB.*32\.0 KiB.*1024.*offers shader-f16, subgroups; lacks timestamp-query/,
  );
});

describe('what does not work is said, with the way on', () => {
  test.each<[string, Partial<Machine>, string, RegExp]>([
    ['old Node', { versions: { ...strong.versions, node: '20.18.3' } }, 'Node.js', /needs 20\.19/],
    [
      'a missing package',
      { versions: { ...strong.versions, sharp: null } },
      'packages',
      /missing: sharp.*npm ci/,
    ],
    ['a broken onnxruntime', { onnxruntime: { error: 'no library' } }, 'onnxruntime', /no library.*npm ci/],
    ['no adapter', { webgpu: { adapters: [] } }, 'WebGPU', /--engine cpu/],
    ['no Dawn', { webgpu: { error: 'cannot be loaded: npm install webgpu.' } }, 'WebGPU', /npm install/],
  ])('%s', (_, changed, what, found) => {
    const failed = findingsOf({ ...strong, ...changed }).filter(({ ok }) => !ok);
    expect(failed).toEqual([{ what, ok: false, found: expect.stringMatching(found) }]);
  });

  test('Node 20.19 and later majors will do', () => {
    for (const node of ['20.19.0', '22.0.0', '30.1.0']) {
      expect(findingsOf({ ...strong, versions: { ...strong.versions, node } })[0].ok).toBe(true);
    }
  });
});

test.each<[string, Partial<Machine>, string[]]>([
  [
    'a software adapter',
    { webgpu: { adapters: [{ ...card, isSoftware: true, features: [] }] } },
    ['--engine webgpu'],
  ],
  [
    'a software adapter beside a card',
    { webgpu: { adapters: [card, { ...card, isSoftware: true, features: [] }] } },
    [],
  ],
  [
    'a card without f16',
    { webgpu: { adapters: [{ ...card, features: ['subgroups'] }] } },
    ['--engine webgpu: reading a prompt and pictures'],
  ],
  ['two cores', { cores: 2 }, ['quantize with training, train, eval --engine cpu']],
  [
    'little memory',
    { memory: { total: 8 * GIB, available: 3 * GIB } },
    ['quantize with training of a model of a billion parameters'],
  ],
  ['little disk', { disk: { folder: '/', freeBytes: GIB } }, ['quantize and export of large models']],
  ['translated Node', { arch: 'x64', cpu: 'Apple M2' }, ['everything']],
])('slow: %s', (_, changed, expected) => {
  expect(slownessOf({ ...strong, ...changed }).map(({ what }) => what)).toEqual(expected);
});

test('this machine is described', async () => {
  const manifest = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  const { dependencies: pinned } = JSON.parse(manifest) as { dependencies: Record<string, string> };
  const machine = await inspectMachine();
  expect(machine.versions).toEqual({
    speedq: expect.any(String),
    node: process.versions.node,
    'onnxruntime-node': pinned['onnxruntime-node'],
    webgpu: pinned.webgpu,
    sharp: pinned.sharp,
  });
  expect(machine.memory.available).toBeGreaterThan(0);
  expect(machine.memory.available).toBeLessThanOrEqual(machine.memory.total);
  expect(machine.disk.freeBytes).toBeGreaterThan(0);
  expect('backends' in machine.onnxruntime).toBe(true);
  // Plain data: --json prints it whole.
  expect(JSON.parse(JSON.stringify(machine))).toEqual(machine);
  for (const { limits } of 'adapters' in machine.webgpu ? machine.webgpu.adapters : []) {
    // The floors of the WebGPU specification.
    expect(limits.maxBufferSize).toBeGreaterThanOrEqual(256 * 2 ** 20);
    expect(limits.maxComputeInvocationsPerWorkgroup).toBeGreaterThanOrEqual(256);
  }
});
