/** Something that a person should know who is not looking at the program. */
export interface Notice {
  readonly title: string;
  /** One or two sentences in plain words: what, where, and what to do. */
  readonly text: string;
}
