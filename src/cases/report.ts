/** What came of the test cases of a folder. */

export interface TestReport {
  /** How many files were looked at. */
  files: number;
  /** In order of file and line. */
  cases: CaseResult[];
  /** Files whose cases nobody knows. */
  unreadable: { file: string; line: number; message: string }[];
  snapshots: {
    written: number;
    /** Those that no case asks for any more; `removed` where that was asked for. */
    obsolete: { file: string; name: string }[];
    removed: boolean;
  };
}

export interface CaseResult {
  /** Relative to the folder of prompts, with `/` between folders. */
  file: string;
  line: number;
  prompt: string;
  name: string;
  /** None: the case passed. */
  failures: Failure[];
  /** Absent where no model was asked, or gave none. */
  answer?: Answer;
  /** Whether it says what a model's answer shall hold, and no model was asked. */
  notAsked?: true;
}

export interface Failure {
  line: number;
  message: string;
  /** What differs, line by line, where there is a text to compare with. */
  patch?: string;
}

/** What a model said, and what it took. */
export interface Answer {
  text: string;
  model: string;
  /** Absent where the endpoint does not tell. */
  inputTokens?: number;
  outputTokens?: number;
  /** Milliseconds, with what was tried again. */
  duration: number;
  /** In USD; absent where nobody knows the price. */
  cost?: number;
}
