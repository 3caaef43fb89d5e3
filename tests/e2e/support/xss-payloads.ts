/**
 * Texts that run a script wherever something takes text for HTML: every element × event × way of writing it.
 * Each calls `xss()`, which the test defines.
 */
export function xssPayloads(): string[] {
  const events = ['onload', 'onerror', 'onclick', 'onfocus', 'onmouseover', 'onanimationstart', 'ontoggle'];
  const elements = ['img src=x', 'svg', 'body', 'iframe', 'video src=x', 'details open', 'input autofocus'];
  const wraps = [
    (html: string) => html,
    (html: string) => html.toUpperCase().replace('XSS()', 'xss()'),
    (html: string) => html.replaceAll(' ', '/'),
    (html: string) => html.replaceAll(' ', '\t'),
    (html: string) => `"'><!--${html}-->${html}`,
    (html: string) => `\`\`\`\n${html}\n\`\`\`\n${html}`,
    (html: string) => `| a |\n|---|\n| ${html} |`,
    (html: string) => `> - **${html}**`,
    (html: string) => `</textarea></title></script>${html}`,
  ];
  const markup = elements.flatMap((element) => events.map((event) => `<${element} ${event}="xss()">`));
  const addresses = [
    'javascript:xss()',
    'JaVaScRiPt:xss()',
    'java\tscript:xss()',
    'data:text/html,<script>parent.xss()</script>',
    'vbscript:xss()',
    '//evil.invalid/x.png',
    'https://evil.invalid/x.png',
  ];
  const links = addresses.flatMap((address) => [
    `[click](${address})`,
    `![picture](${address})`,
    `<${address}>`,
    address,
    `[![both](${address})](${address})`,
    `[ref]\n\n[ref]: ${address}`,
    `<a href="${address}">a</a>`,
    `<form action="${address}"><button>b</button></form>`,
  ]);
  const scripts = [
    '<script>xss()</script>',
    '<script src=data:,xss()></script>',
    '<link rel=stylesheet href=//evil.invalid/x.css>',
    '<style>@import "//evil.invalid/x.css"</style>',
    '<meta http-equiv=refresh content="0;url=javascript:xss()">',
    '<base href=//evil.invalid/>',
    '<math><mtext><script>xss()</script></mtext></math>',
    '<template><script>xss()</script></template>',
  ];
  return [...markup.flatMap((html) => wraps.map((wrap) => wrap(html))), ...links, ...scripts];
}
