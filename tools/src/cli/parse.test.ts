import { describe, expect, test } from 'vitest';
import { GLOBAL_OPTIONS, parseArguments } from './parse.ts';

const options = {
  ...GLOBAL_OPTIONS,
  out: { type: 'string', description: 'folder', required: true },
  maxNewTokens: { type: 'integer', description: 'length', min: 1, max: 100, default: 8 },
  temperature: { type: 'number', description: 'randomness' },
  image: { type: 'string', description: 'picture', multiple: true },
  device: { type: 'string', description: 'where', choices: ['cpu', 'webgpu'] },
} as const;
const args = { model: { description: 'folder' }, other: { description: 'more', optional: true } } as const;

const parse = (...argv: string[]) => parseArguments(argv, args, options);

test('flags in either spelling, repeated ones, defaults', () => {
  const parsed = parse('m', '--out', 'd', '--image', 'a.png', '--image=b.png', '--temperature=-0.5', '-q');
  expect(parsed.args).toEqual({ model: 'm', other: undefined });
  expect(parsed.options).toEqual({
    out: 'd',
    maxNewTokens: 8,
    temperature: -0.5,
    image: ['a.png', 'b.png'],
    device: undefined,
    json: false,
    quiet: true,
    help: false,
  });
});

test('everything after -- is an argument', () => {
  expect(parse('--out', 'd', '--', '--json').args.model).toBe('--json');
});

describe('refused, each saying what to do', () => {
  test.each<[string, string[], RegExp]>([
    [
      'an unknown flag',
      ['m', '--out', 'd', '--max-new-token', '3'],
      /--max-new-token is not.*--max-new-tokens\?/,
    ],
    ['a missing required flag', ['m'], /--out is required/],
    ['a missing argument', ['--out', 'd'], /MODEL is missing/],
    ['one argument too many', ['m', 'n', 'o', '--out', 'd'], /Unexpected argument "o"/],
    ['a flag given twice', ['m', '--out', 'd', '--out', 'e'], /given twice/],
    ['a flag without its value', ['m', '--out'], /--out needs a value/],
    ['a value for a switch', ['m', '--out', 'd', '--json=yes'], /--json takes no value/],
    ['a fraction', ['m', '--out', 'd', '--max-new-tokens', '1.5'], /expected an integer from 1 to 100/],
    ['out of range', ['m', '--out', 'd', '--max-new-tokens', '101'], /from 1 to 100/],
    ['no number', ['m', '--out', 'd', '--temperature', 'hot'], /expected a number/],
    ['an unknown choice', ['m', '--out', 'd', '--device', 'webgp'], /cpu, webgpu.*Did you mean webgpu/],
  ])('%s', (_, argv, message) => {
    expect(() => parse(...argv)).toThrow(
      expect.objectContaining({ code: 'invalid-argument', message: expect.stringMatching(message) }),
    );
  });
});
