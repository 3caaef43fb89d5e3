const LONGEST = 48;

/** A chat is called by its first question until a person calls it something else. */
export function titleFrom(question: string): string {
  const line = question.trim().replace(/\s+/g, ' ');
  const characters = Array.from(line);
  if (characters.length <= LONGEST) return line;
  const cut = characters.slice(0, LONGEST).join('');
  const space = cut.lastIndexOf(' ');
  // Chinese has no spaces to cut at.
  return `${space > LONGEST / 2 ? cut.slice(0, space) : cut}…`;
}
