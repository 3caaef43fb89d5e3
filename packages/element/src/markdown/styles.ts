/** Colours and radius are custom properties: the app and the element each give their own. */
const CSS = `
.markdown > :first-child { margin-block-start: 0; }
.markdown > :last-child { margin-block-end: 0.2rem; }
.markdown p, .markdown ul, .markdown ol, .markdown pre, .markdown blockquote, .markdown .table { margin-block: 0.6rem; }
.markdown h3 { margin-block: 1rem 0.4rem; font-size: 1.05rem; }
.markdown ul, .markdown ol { padding-inline-start: 1.4rem; }
.markdown code { border-radius: 0.3rem; padding: 0.1em 0.3em; background: var(--markdown-code); font: 0.9em/1.5 ui-monospace, monospace; }
.markdown pre { overflow-x: auto; border-radius: var(--markdown-radius); padding: 0.8rem 1rem; background: var(--markdown-block); }
.markdown pre code { padding: 0; background: none; }
.markdown blockquote { margin-inline: 0; border-inline-start: 3px solid var(--markdown-line); padding-inline-start: 0.9rem; color: var(--markdown-soft); }
.markdown .table { overflow-x: auto; }
.markdown table { border-collapse: collapse; }
.markdown th, .markdown td { border: 1px solid var(--markdown-line); padding: 0.3rem 0.7rem; text-align: start; }
.markdown hr { border: 0; border-block-start: 1px solid var(--markdown-line); }
.markdown .link { text-decoration: underline dotted; text-underline-offset: 0.2em; }
`;

let sheet: CSSStyleSheet | undefined;

/** What `markdownWriter` writes, in an element of class `markdown`: one sheet, for documents and shadow trees. */
export function markdownStyles(): CSSStyleSheet {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
}
