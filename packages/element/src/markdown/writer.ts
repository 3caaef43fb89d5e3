import * as smd from 'streaming-markdown';

/**
 * Turns Markdown into elements as it comes: nothing is drawn twice, and no HTML is ever parsed. Pictures and
 * links stay text: what a model writes must not make the page ask anyone for anything.
 */
export interface MarkdownWriter {
  write(text: string): void;
  end(): void;
}

const ELEMENTS: Partial<Record<smd.Token, string>> = {
  [smd.PARAGRAPH]: 'p',
  // Under the conversation's own heading, all alike: models skip levels, which pages must not.
  [smd.HEADING_1]: 'h3',
  [smd.HEADING_2]: 'h3',
  [smd.HEADING_3]: 'h3',
  [smd.HEADING_4]: 'h3',
  [smd.HEADING_5]: 'h3',
  [smd.HEADING_6]: 'h3',
  [smd.CODE_INLINE]: 'code',
  [smd.ITALIC_AST]: 'em',
  [smd.ITALIC_UND]: 'em',
  [smd.STRONG_AST]: 'strong',
  [smd.STRONG_UND]: 'strong',
  [smd.STRIKE]: 's',
  [smd.BLOCKQUOTE]: 'blockquote',
  [smd.LINE_BREAK]: 'br',
  [smd.RULE]: 'hr',
  [smd.LIST_UNORDERED]: 'ul',
  [smd.LIST_ORDERED]: 'ol',
  [smd.LIST_ITEM]: 'li',
  [smd.EQUATION_BLOCK]: 'pre',
  [smd.EQUATION_INLINE]: 'code',
};

export function markdownWriter(root: HTMLElement): MarkdownWriter {
  const open: Element[] = [root];
  /** The address of the link or picture that is open, shown behind its text. */
  let address = '';
  const top = (): Element => open[open.length - 1];
  const make = (name: string, className?: string): HTMLElement => {
    const element = document.createElement(name);
    if (className) element.className = className;
    return element;
  };

  const begin = (token: smd.Token): void => {
    switch (token) {
      case smd.DOCUMENT:
        return;
      case smd.CODE_BLOCK:
      case smd.CODE_FENCE: {
        const block = make('pre');
        // Long lines scroll: the block must be reachable by keyboard.
        block.tabIndex = 0;
        top().append(block);
        open.push(block.appendChild(make('code')));
        return;
      }
      case smd.CHECKBOX: {
        open.push(top().appendChild(make('span', 'checkbox')));
        top().textContent = '☐ ';
        return;
      }
      case smd.TABLE: {
        const scroller = make('div', 'table');
        scroller.tabIndex = 0;
        top().append(scroller);
        open.push(scroller.appendChild(make('table')));
        return;
      }
      case smd.TABLE_ROW: {
        const table = top();
        const part = table.children.length === 0 ? 'thead' : 'tbody';
        const section = table.querySelector(`:scope > ${part}`) ?? table.appendChild(make(part));
        open.push(section.appendChild(make('tr')));
        return;
      }
      case smd.TABLE_CELL:
        open.push(top().appendChild(make(top().parentElement?.tagName === 'THEAD' ? 'th' : 'td')));
        return;
      case smd.LINK:
      case smd.RAW_URL:
      case smd.IMAGE:
        address = '';
        open.push(top().appendChild(make('span', 'link')));
        return;
      default:
        open.push(top().appendChild(make(ELEMENTS[token] ?? 'span')));
    }
  };

  const renderer: smd.Renderer<undefined> = {
    data: undefined,
    add_token: (_data, token) => begin(token),
    end_token() {
      if (open.length === 1) return;
      const element = open.pop()!;
      if (!element.classList.contains('link')) return;
      const shown = element.textContent ?? '';
      if (address !== '' && address !== shown) element.append(shown === '' ? address : ` (${address})`);
    },
    add_text: (_data, text) => top().append(text),
    set_attr(_data, attribute, value) {
      if (attribute === smd.HREF || attribute === smd.SRC) address = value;
      else if (attribute === smd.CHECKED) top().textContent = '☑ ';
      else if (attribute === smd.START) top().setAttribute('start', value);
    },
  };

  const parser = smd.parser(renderer);
  return {
    write: (text) => smd.parser_write(parser, text),
    end: () => smd.parser_end(parser),
  };
}
