/** What the element says, by language; the nearest `lang` attribute chooses. */
export interface Texts {
  readonly load: string;
  readonly note: string;
  readonly loading: (percent: number, megabytes: number) => string;
  readonly cancel: string;
  readonly retry: string;
  readonly conversation: string;
  readonly question: string;
  readonly send: string;
  readonly stop: string;
  readonly attach: string;
  readonly remove: string;
  readonly you: string;
  readonly answer: string;
}

const EN: Texts = {
  load: 'Load the model',
  note: 'It is downloaded once, kept on this device and runs in this page. Nothing you ask leaves it.',
  loading: (percent, megabytes) => `Loading: ${percent} %${megabytes > 0 ? ` of ${megabytes} MB` : ''}`,
  cancel: 'Cancel',
  retry: 'Try again',
  conversation: 'Conversation',
  question: 'Question',
  send: 'Send',
  stop: 'Stop',
  attach: 'Add a picture',
  remove: 'Remove the picture',
  you: 'You',
  answer: 'Answer',
};

const ZH: Texts = {
  load: '加载模型',
  note: '模型只需下载一次，保存在本设备上，并在本页面中运行。您的提问不会离开本页面。',
  loading: (percent, megabytes) => `正在加载：${percent}%${megabytes > 0 ? `，共 ${megabytes} MB` : ''}`,
  cancel: '取消',
  retry: '重试',
  conversation: '对话',
  question: '问题',
  send: '发送',
  stop: '停止',
  attach: '添加图片',
  remove: '移除图片',
  you: '您',
  answer: '回答',
};

export function textsFor(element: Element): Texts {
  const lang = element.closest('[lang]')?.getAttribute('lang') ?? '';
  return /^zh\b/i.test(lang) ? ZH : EN;
}
