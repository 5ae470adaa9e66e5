/** What a scratch repository holds, and what becomes of it. */

export const PROMPTS = {
  "prompts/support/greeting.prompt": `---
tests:
  - name: greets
    variables: {name: Ada}
    expect:
      - contains: Ada
---
Hi {{name}}.
`,
  "prompts/title.md": "A title for {{text}}\n",
  "prompts/old.md": "Nobody needs this.\n",
};

/** A pull request's worth: one is changed, one is new, one goes. */
export const CHANGES = {
  "prompts/support/greeting.prompt": PROMPTS["prompts/support/greeting.prompt"].replace(
    "Hi {{name}}.",
    "Hello {{name}}!",
  ),
  "prompts/farewell.md": "Goodbye {{name}}\n",
  "prompts/old.md": undefined,
};

/** `promptd validate` refuses the third line. */
export const BROKEN = { "prompts/title.md": "A title\nfor\n{{text}\n" };

/** A fine prompt, but not what its test asks for. */
export const FAILING = {
  "prompts/support/greeting.prompt": PROMPTS["prompts/support/greeting.prompt"].replace(
    "contains: Ada",
    "contains: Grace",
  ),
};

/** A fine prompt, but the service has a text of this name. */
export const CHAT = `---
type: chat
---
{{role "user"}}
A title for {{text}}
`;
