#!/usr/bin/env node
// What the published package's bin/speedq is built from; bin/speedq.js runs the sources.
import { main } from '../src/cli.ts';

await main();
