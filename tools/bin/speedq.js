#!/usr/bin/env node
// The command runs from a checkout without a build: tsx compiles the sources as they are imported.
import { register } from 'tsx/esm/api';

// Without this, tsx would obey the tsconfig.json of whatever folder the command is run in.
register({ tsconfig: false });
const { main } = await import('../src/cli.ts');
await main();
