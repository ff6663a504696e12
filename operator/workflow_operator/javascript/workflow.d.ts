/**
 * What a script of workflow-operator can call, beside the language itself (ECMAScript 2025).
 *
 * Beside the scripts, a jsconfig.json lets an editor read it:
 *
 *     {
 *       "compilerOptions": { "lib": ["ES2025"], "types": [], "checkJs": true, "strict": false, "moduleDetection": "force", "noEmit": true },
 *       "include": ["*.js", "workflow.d.ts"]
 *     }
 */

/**
 * Records a step, whose payload becomes `status.memory`, and calls the function with a copy of the payload.
 *
 * @param fn a function or an async function that has a name, which the history tells; no generator.
 * @param payload anything that JSON holds whole, at most 256 KiB; `undefined` if the function takes nothing.
 * @returns what the function returns.
 * @throws NotSerializable, PayloadTooLarge
 * @example
 * function main(order) {
 *   return transition(charge, { total: order.total });
 * }
 * function charge(memory) {
 *   return { charged: memory.total };
 * }
 */
declare function transition<Payload, Result>(fn: (payload: Payload) => Result, payload: NoInfer<Payload>): Result;

/**
 * Waits. A run that sleeps for more than 5 s holds no process meanwhile.
 *
 * @param seconds a whole number, at most 100 years; zero and negative numbers wait nothing.
 * @throws TypeError, RangeError
 */
declare function sleep(seconds: number): void;

/**
 * Records the output of the run now. The script goes on; what it returns or throws later does not change the output, and
 * only the first call counts.
 *
 * @param value anything that JSON holds whole, at most 256 KiB.
 * @throws NotSerializable, PayloadTooLarge
 */
declare function finish(value?: unknown): null;

/**
 * Makes an HTTP request, and records its answer: behind a crash it is not asked for again.
 *
 * Where there is no answer nothing is thrown: `ok` is false, and `error` says why.
 *
 * @throws TypeError what was asked for is no request
 * @throws PayloadTooLarge the answer has more than 256 KiB as JSON
 * @example
 * const answer = fetchSync("http://shop.example/orders", { method: "POST", body: { item: "book" } });
 * if (!answer.ok) throw new Error(`shop: ${answer.error || answer.status}`);
 * return answer.json().id;
 */
declare function fetchSync(url: string | URL, config?: FetchConfig): FetchAnswer;

/** A value of a query or a header; of several, `null` and `undefined` are left out. */
type FetchValue = string | number | boolean | null | undefined;

interface FetchConfig {
  /** Default: GET. */
  method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS";
  /** Sent as JSON; a string as it is, where the header Content-Type says that it is something else. */
  body?: unknown;
  /** `Host`, `Content-Length` and what else is the connection's cannot be set. */
  headers?: Record<string, FetchValue | FetchValue[]>;
  /** Appended to the URL as its query. An array gives a name several times. */
  params?: Record<string, FetchValue | FetchValue[]>;
  /** Seconds for the whole answer, redirects included: 30 by default, at most 60. */
  timeout?: number;
  /** Sent as `Authorization: Basic`, with the password. */
  username?: string;
  password?: string;
  /** Take any certificate. */
  skipTls?: boolean;
}

interface FetchAnswer {
  /** Whether the status is 200 to 299. */
  ok: boolean;
  /** 0 where there was no answer. */
  status: number;
  statusText: string;
  /** `error` where there was no answer. */
  responseType: "basic" | "error";
  /** Why there was no answer; empty if there was one. */
  error: string;
  /** Where the answer came from, behind at most 10 redirects. */
  url: string;
  redirected: boolean;
  /** Of each name, in lower case, its values. */
  headers: Record<string, string[]>;
  /** The body as text. @throws TypeError it is none */
  text(): string;
  /** The body as a value. @throws TypeError it is no text; SyntaxError it is no JSON */
  json(): any;
  /** The bytes of the body. */
  base64(): string;
}

/** The ID of this run: the uid of its WorkflowRun. */
declare function id(): string;

/** The time of the last call; it stands still between two calls, as `Date` does. */
declare function now(): {
  /** Seconds since 1970. */
  unix(): number;
  /** @param layout of Go's package time, such as `"2006-01-02T15:04:05Z07:00"`. */
  format(layout: string): string;
};

/** Writes a line to the log. */
declare function log(...values: unknown[]): void;
/** Writes a line to the log. */
declare function print(...values: unknown[]): void;

/** Writes to the log. None of it throws. */
interface Console {
  log(...values: unknown[]): void;
  info(...values: unknown[]): void;
  debug(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
  /** With the places that led here. */
  trace(...values: unknown[]): void;
  /** Writes only if the first value is falsy. */
  assert(holds?: unknown, ...values: unknown[]): void;
  dir(value?: unknown, options?: unknown): void;
  dirxml(...values: unknown[]): void;
  table(data?: unknown): void;
  group(...values: unknown[]): void;
  groupCollapsed(...values: unknown[]): void;
  groupEnd(): void;
  count(label?: string): void;
  countReset(label?: string): void;
  time(label?: string): void;
  timeLog(label?: string, ...values: unknown[]): void;
  timeEnd(label?: string): void;
  /** Does nothing. */
  timeStamp(label?: string): void;
  /** Does nothing. */
  profile(label?: string): void;
  /** Does nothing. */
  profileEnd(label?: string): void;
  /** Does nothing. */
  clear(): void;
}
declare var console: Console;

interface URL {
  hash: string;
  host: string;
  hostname: string;
  href: string;
  readonly origin: string;
  password: string;
  pathname: string;
  port: string;
  protocol: string;
  search: string;
  readonly searchParams: URLSearchParams;
  username: string;
  toJSON(): string;
  toString(): string;
}
declare var URL: {
  prototype: URL;
  new (url: string | URL, base?: string | URL): URL;
  canParse(url: string | URL, base?: string | URL): boolean;
  parse(url: string | URL, base?: string | URL): URL | null;
};

interface URLSearchParams extends Iterable<[string, string]> {
  readonly size: number;
  append(name: string, value: string): void;
  delete(name: string, value?: string): void;
  get(name: string): string | null;
  getAll(name: string): string[];
  has(name: string, value?: string): boolean;
  set(name: string, value: string): void;
  sort(): void;
  toString(): string;
  entries(): IterableIterator<[string, string]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
  forEach(callback: (value: string, name: string, all: URLSearchParams) => void, self?: unknown): void;
}
declare var URLSearchParams: {
  prototype: URLSearchParams;
  new (from?: string | Record<string, string> | Iterable<readonly [string, string]>): URLSearchParams;
};

interface TextEncoder {
  readonly encoding: string;
  encode(text?: string): Uint8Array;
  encodeInto(text: string, into: Uint8Array): { read: number; written: number };
}
declare var TextEncoder: { prototype: TextEncoder; new (): TextEncoder };

interface TextDecoder {
  readonly encoding: string;
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  decode(bytes?: ArrayBuffer | ArrayBufferView, options?: { stream?: boolean }): string;
}
declare var TextDecoder: {
  prototype: TextDecoder;
  /** @param label utf-8, utf-16le, utf-16be or latin1. */
  new (label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean }): TextDecoder;
};

/** The text that a text in base64 stands for, one character for each byte. */
declare function atob(data: string): string;
/** A text in base64. @throws InvalidCharacterError there are characters above U+00FF */
declare function btoa(data: string): string;

/** A copy of a value with what JSON would lose, cycles included. */
declare function structuredClone<T>(value: T, options?: { transfer?: ArrayBuffer[] }): T;
declare function queueMicrotask(callback: () => void): void;

/** The same as `globalThis`. */
declare var self: typeof globalThis;
/** The same as `globalThis`. */
declare var global: typeof globalThis;
