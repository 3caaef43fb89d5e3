export { markdownStyles } from './styles.ts';
export { markdownWriter } from './writer.ts';
export type { MarkdownWriter } from './writer.ts';
