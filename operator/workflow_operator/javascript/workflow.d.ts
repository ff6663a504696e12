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

/** Milliseconds as a number, or a text such as `"90s"`, `"1h 30m"`, `"2 days"`. At most 100 years. */
type Duration = number | string;

interface Retries {
  /** Attempts after the first one: 5 by default, 0 with `atMostOnce`; at most 10,000, which `Infinity` stands for. */
  limit?: number;
  /** The pause before the second attempt. Default: 5 s. A run that waits for longer than that holds no process. */
  delay?: Duration;
  /** How the pause grows: `exponential` doubles it, `linear` adds `delay`, `constant` keeps it. Default: exponential. */
  backoff?: "exponential" | "linear" | "constant";
  /** Default: 5 minutes, or `delay` if that is longer. */
  maxDelay?: Duration;
  /** A pause is longer or shorter by at most this part of it. Default: 0.2. */
  jitter?: number;
  /** No attempt begins later than this after the first one has begun. */
  maxDuration?: Duration;
}

interface StepConfig {
  retries?: Retries;
  /** Of one attempt, which then fails with `TimeoutError`. Default: 5 minutes; at most 1 hour. */
  timeout?: Duration;
  /** Record that an attempt begins, and fail with `Interrupted` instead of doing it again if it is cut off. */
  atMostOnce?: boolean;
  signal?: AbortSignal;
}

/** What the function of a step gets. */
interface StepContext {
  /** `count`: how many steps of this name the script has made, this one included. */
  step: { name: string; count: number };
  /** From 1. */
  attempt: number;
  /** The same in all attempts, also behind a crash. */
  idempotencyKey: string;
  /** Aborted when the time of the attempt is over, or the step's own signal is. */
  signal: AbortSignal;
  /** All defaults filled in; times in milliseconds. */
  config: object;
  /** Why the attempt before failed. */
  previousError?: { name: string; message: string };
}

/** An event from outside. */
interface SignalEvent {
  type: string;
  payload: any;
  /** When it was sent, in milliseconds since 1970. */
  timestamp: number;
  id: string;
  /** Who sent it, where that is checked. */
  sender?: string;
}

interface Step {
  /**
   * Runs a function until one attempt gives a value, and records it. In a replay the recorded value is given, and the
   * function is not run: so return what it finds out, and set no variable outside.
   *
   * In the function there are `fetch`, `fetchSync`, `log`, `Date`, `Math.random` and `uuid`, live and unrecorded; any other
   * call throws NestedCall.
   *
   * @param name for people, 1 to 256 characters; it may be used again.
   * @returns the value as it is recorded: what JSON makes of it, at most 256 KiB.
   * @throws what the last attempt threw, with `step` and `attempts`; TimeoutError, Interrupted, AbortError, NotSerializable
   * @example
   * const { id } = await step.do("order", { retries: { limit: 3 } }, async (ctx) => {
   *   const answer = await fetch("http://shop.example/orders", { method: "POST", body: order });
   *   if (!answer.ok) throw new Error(`shop: ${answer.error || answer.status}`);
   *   return answer.json();
   * });
   */
  do<T>(name: string, fn: (ctx: StepContext) => T | Promise<T>): Promise<T>;
  do<T>(name: string, config: StepConfig, fn: (ctx: StepContext) => T | Promise<T>): Promise<T>;
  /** Waits. A run that waits for more than 5 s holds no process meanwhile. */
  sleep(name: string, duration: Duration, options?: { signal?: AbortSignal }): Promise<void>;
  /** @param at a Date, or milliseconds since 1970. */
  sleepUntil(name: string, at: Date | number, options?: { signal?: AbortSignal }): Promise<void>;
  /**
   * Waits for an event from outside: a WorkflowSignal, or `workflow-operator signal`. Events are kept before the wait, and
   * got in their order, each once. The run holds nothing meanwhile.
   *
   * @throws TimeoutError nothing came in time
   * @example
   * const answer = await step.waitForEvent("approval", { type: ["approve", "reject"], timeout: "3 days" });
   */
  waitForEvent(
    name: string,
    options: { type: string | string[]; timeout?: Duration; signal?: AbortSignal },
  ): Promise<SignalEvent>;
  /**
   * Calls the function for each element, at most `concurrency` (10) at once, and gives the results in the order of the
   * elements. When one fails no more are started; with `settle` each result says how it ended.
   */
  map<A, B>(
    items: Iterable<A>,
    options: { concurrency?: number; settle: true },
    fn: (item: A, index: number) => B | Promise<B>,
  ): Promise<PromiseSettledResult<B>[]>;
  map<A, B>(
    items: Iterable<A>,
    options: { concurrency?: number; settle?: false },
    fn: (item: A, index: number) => B | Promise<B>,
  ): Promise<B[]>;
  map<A, B>(items: Iterable<A>, fn: (item: A, index: number) => B | Promise<B>): Promise<B[]>;
  /**
   * The first branch that ends decides; the others are aborted by their signal.
   *
   * @example
   * const { winner } = await step.race({
   *   late: (signal) => step.sleep("late", "1 hour", { signal }),
   *   done: (signal) => step.do("work", { signal }, work),
   * });
   */
  race<B extends Record<string, (signal: AbortSignal) => unknown>>(
    branches: B,
  ): Promise<{ [K in keyof B & string]: { winner: K; value: Awaited<ReturnType<B[K]>> } }[keyof B & string]>;
  /** `startTime` in milliseconds since 1970. */
  info(): { id: string; name: string; namespace: string; startTime: number };
}
declare var step: Step;

/** Ends the retries of a step. */
declare class NonRetryableError extends Error {
  constructor(message?: string, options?: { name?: string; data?: unknown });
  data?: unknown;
}
/** Says when the next attempt of a step is to be made. */
declare class RetryableError extends Error {
  constructor(message?: string, options?: { retryAfter?: Duration; data?: unknown });
  /** In milliseconds. */
  retryAfter?: number;
  data?: unknown;
}

/** A UUID of version 4, the same in each replay. */
declare function uuid(): string;

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
 * Makes an HTTP request. Outside a step its answer is recorded, and behind a crash not asked for again; inside it is not,
 * and asked for in each attempt. A request that may change something carries an `Idempotency-Key`.
 *
 * Where there is no answer nothing is thrown: `ok` is false, and `error` says why.
 *
 * @throws TypeError what was asked for is no request
 * @throws PayloadTooLarge the answer has more than 256 KiB as JSON
 */
declare function fetch(url: string | URL, config?: FetchConfig & { signal?: AbortSignal }): Promise<FetchAnswer>;

/**
 * Makes an HTTP request as `fetch` does, and waits for the answer.
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

interface AbortSignal {
  readonly aborted: boolean;
  readonly reason: any;
  onabort: ((event: { type: "abort"; target: AbortSignal }) => void) | null;
  throwIfAborted(): void;
  addEventListener(type: "abort", listener: (event: { type: "abort"; target: AbortSignal }) => void, options?: { once?: boolean }): void;
  removeEventListener(type: "abort", listener: (event: { type: "abort"; target: AbortSignal }) => void): void;
}
declare var AbortSignal: {
  prototype: AbortSignal;
  abort(reason?: any): AbortSignal;
  any(signals: Iterable<AbortSignal>): AbortSignal;
};
interface AbortController {
  readonly signal: AbortSignal;
  abort(reason?: any): void;
}
declare var AbortController: { prototype: AbortController; new (): AbortController };

/** A copy of a value with what JSON would lose, cycles included. */
declare function structuredClone<T>(value: T, options?: { transfer?: ArrayBuffer[] }): T;
declare function queueMicrotask(callback: () => void): void;

/** The same as `globalThis`. */
declare var self: typeof globalThis;
/** The same as `globalThis`. */
declare var global: typeof globalThis;
