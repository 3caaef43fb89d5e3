/**
 * Texts that run a script wherever something takes text for HTML, or an address for a harmless one: a grammar of
 * elements × events × ways of writing them, and schemes × forms of Markdown. Each calls `xss()`, which the test
 * defines, or asks evil.invalid for something.
 */
export function xssPayloads(): readonly string[] {
  const markup = ELEMENTS.flatMap((element) => EVENTS.map((event) => `<${element} ${event}=xss()>`));
  // Every way of writing with several elements, so that each element is written in several ways.
  const written = WRITINGS.flatMap((write, i) =>
    [0, 5, 11].map((step) => {
      const element = ELEMENTS[(i * 3 + step) % ELEMENTS.length];
      return write(`<${element} ${EVENTS[(i + step) % EVENTS.length]}="xss()">`);
    }),
  );
  const contained = CONTAINERS.flatMap((contain) => SNIPPETS.map((html) => contain(html)));
  const links = SCHEMES.flatMap((address) => LINKS.map((link) => link(address)));
  return [...new Set([...markup, ...written, ...contained, ...links, ...SNIPPETS])];
}

const ELEMENTS = [
  'img src=x',
  'svg',
  'body',
  'iframe',
  'video src=x',
  'audio src=x',
  'details open',
  'input autofocus',
  'select autofocus',
  'textarea autofocus',
  'button',
  'object data=x',
  'embed src=x',
  'form',
  'a href=#x',
  'style',
  'marquee',
  'dialog open',
  'x-y tabindex=1 autofocus',
];

const EVENTS = [
  'onload',
  'onerror',
  'onclick',
  'onfocus',
  'onpointerenter',
  'onanimationstart',
  'ontoggle',
  'onbeforematch',
];

/** `html` is one start tag with one event in double quotes. */
const WRITINGS: readonly ((html: string) => string)[] = [
  (html) => html.toUpperCase().replace('XSS()', 'xss()'),
  (html) => html.replaceAll(' ', '/'),
  (html) => html.replaceAll(' ', '\t'),
  (html) => html.replaceAll(' ', '\n'),
  (html) => html.replaceAll(' ', '\f'),
  (html) => html.replace('<', '<\0'),
  (html) => html.replace('<', '\u{ff1c}'),
  (html) => html.replaceAll('"', "'"),
  (html) => html.replaceAll('"', '`'),
  (html) => html.replaceAll('"', ''),
  (html) => html.replace('="', ' = "'),
  (html) => html.replace('>', ''),
  (html) => html.replace('>', '//'),
  (html) => html.replace('xss()', '&#120;&#x73;s&lpar;&rpar;'),
  (html) => html.replace('xss()', String.raw`\u0078ss()`),
  (html) => html.replace('xss()', 'xss`1`'),
  (html) => html.replace('xss()', 'self[&quot;xss&quot;]()'),
  (html) => html.replace('xss()', 'top.setTimeout`xss\\x28\\x29`'),
  (html) => html.replace('<', '&lt;').replace('>', '&gt;'),
  (html) => html.replace('<', '&#60;').replace('>', '&#62;'),
  (html) => html.replace('<', '&amp;lt;').replace('>', '&amp;gt;'),
  (html) => html.replace('<', String.raw`\u003c`).replace('>', String.raw`\u003e`),
  (html) => html.replace('<', '%3C').replace('>', '%3E'),
  (html) => html.replace('<', '+ADw-').replace('>', '+AD4-'),
  (html) => `<<${html}>`,
  (html) => `"'>${html}`,
  (html) => `--><!-- -->${html}`,
  (html) => `<!--><!--${html}-->${html}`,
  (html) => `<![CDATA[${html}]]>${html}`,
  (html) => `</textarea></title></style></script></noscript>${html}`,
  (html) => `<noscript><p title="</noscript>${html}">`,
  (html) => `<math><mtext><table><mglyph><style><!--</style>${html}`,
  (html) => `<svg></p><style><a id="</style>${html}">`,
  (html) => `<template shadowrootmode=open>${html}</template>`,
  (html) => `<x ${html}`,
];

const SNIPPETS = [
  '<script>xss()</script>',
  '<script src=data:,xss()></script>',
  '<svg><script>xss()</script></svg>',
  '<iframe srcdoc="<script>parent.xss()</script>"></iframe>',
  '<object data="data:text/html,<script>parent.xss()</script>"></object>',
  '<link rel=stylesheet href=//evil.invalid/x.css>',
  '<style>@import "//evil.invalid/x.css"</style>',
  '<meta http-equiv=refresh content="0;url=javascript:xss()">',
  '<base href=//evil.invalid/>',
  '<img src=//evil.invalid/x.png srcset=//evil.invalid/y.png>',
  '<svg><animate onbegin=xss() attributeName=x dur=1s>',
  '<svg><use href="data:image/svg+xml,<svg id=x onload=xss()></svg>#x"></svg>',
];

const CONTAINERS: readonly ((html: string) => string)[] = [
  (html) => `\`\`\`\n${html}\n\`\`\`\n${html}`,
  (html) => `\`\`\`html\n${html}`,
  (html) => `\`${html}\`${html}`,
  (html) => `| a |\n|---|\n| ${html} |`,
  (html) => `> - **${html}**`,
  (html) => `1. [x] ${html}`,
  (html) => `# ${html} #`,
  (html) => `*${html}_${html}*`,
  (html) => `$$\n${html}\n$$`,
  (html) => `[${html}](x "${html}")`,
  (html) => `![${html}](x)`,
  (html) => `\\${html}`,
];

const SCHEMES = [
  'javascript:xss()',
  'JaVaScRiPt:xss()',
  'java\tscript:xss()',
  ' javascript:xss()',
  '\u0001javascript:xss()',
  'javascript&colon;xss()',
  '&#106;avascript:xss()',
  'javascript://x%0Axss()',
  'data:text/html,<script>parent.xss()</script>',
  'data:image/svg+xml,<svg onload=parent.xss()>',
  'vbscript:xss()',
  '//evil.invalid/x.png',
  'https://evil.invalid/x.png',
];

const LINKS: readonly ((address: string) => string)[] = [
  (address) => `[click](${address})`,
  (address) => `[click](<${address}> "title")`,
  (address) => `![picture](${address})`,
  (address) => `<${address}>`,
  (address) => address,
  (address) => `[![both](${address})](${address})`,
  (address) => `[ref]\n\n[ref]: ${address}`,
  (address) => `<a href="${address}" ping="${address}">a</a>`,
  (address) => `<form action="${address}"><button formaction="${address}">b</button></form>`,
  (address) => `<iframe src="${address}"></iframe>`,
  (address) => `<svg><a xlink:href="${address}"><text>a</text></a></svg>`,
  (address) => `| [cell](${address}) |\n|---|\n| ![cell](${address}) |`,
];
