// Runs in a fresh isolate before the user's script, and gives the function by which bridge.py drives the run. formatTime
// is the value of go_time.js.
// The script may change every object that it can reach, so what is needed later is taken now, is called
// without a property look-up, and property descriptors have no prototype.
((formatTime) => {
  'use strict';
  let bridge;
  const global = globalThis;

  const { apply, construct, ownKeys, defineProperty: tryDefineProperty } = Reflect;
  const { defineProperty, setPrototypeOf, getOwnPropertyDescriptor } = Object;
  const { parse, stringify } = JSON;
  const { isArray } = Array;
  const { isInteger } = Number;
  const { floor } = Math;
  const { fromCharCode } = String;
  const uncurry = Function.prototype.call.bind.bind(Function.prototype.call);
  const charCodeAt = uncurry(String.prototype.charCodeAt);
  const startsWith = uncurry(String.prototype.startsWith);
  const slice = uncurry(String.prototype.slice);
  const mapGet = uncurry(WeakMap.prototype.get);
  const mapSet = uncurry(WeakMap.prototype.set);
  const instanceOf = uncurry(Function.prototype[Symbol.hasInstance]);
  const text = String;
  const { toPrimitive } = Symbol;
  const objectPrototype = Object.prototype;
  const RealDate = Date;
  const RealError = Error;
  const RealEvalError = EvalError;
  const RealRangeError = RangeError;
  const RealTypeError = TypeError;
  const freeze = (object, name) =>
    defineProperty(object, name, { __proto__: null, writable: false, configurable: false });

  // A hook there would see this function's frames; the limit is what gives host calls their line.
  defineProperty(Error, 'prepareStackTrace', { __proto__: null, value: undefined, writable: true, configurable: true });
  freeze(Error, 'prepareStackTrace');
  freeze(Error, 'stackTraceLimit');

  // --- exchange with the host ---------------------------------------------------------------------------------

  const PART = 1, TELL = 2, ASK = 3, MORE = 4; // bridge.Operation
  const UNITS = 32768;
  const buffer = new ArrayBuffer(8 + 2 * UNITS);
  const header = new Int32Array(buffer, 0, 2);
  const units = new Uint16Array(buffer, 8);
  // fromCharCode takes a view as a whole: a short text is read from the smallest one that holds it.
  const windows = [];
  for (const size of [128, 1024, 8192, UNITS]) windows[windows.length] = new Uint16Array(buffer, 8, size);
  for (const view of [header, units, ...windows]) {
    // Otherwise `length` may be looked up on a prototype that the script can change.
    defineProperty(view, 'length', { __proto__: null, value: view.length });
    setPrototypeOf(view, null);
  }

  function send(operation, message) {
    const length = message.length;
    let start = 0;
    for (;;) {
      const count = length - start < UNITS ? length - start : UNITS;
      for (let i = 0; i < count; i++) units[i] = charCodeAt(message, start + i);
      start += count;
      header[1] = count;
      header[0] = start < length ? PART : operation;
      bridge();
      if (start >= length) return;
    }
  }

  function received() {
    let reply = '';
    for (;;) {
      let k = 0;
      while (windows[k].length < header[1]) k++;
      reply += slice(apply(fromCharCode, undefined, windows[k]), 0, header[1]);
      if (header[0] === 0) return reply;
      header[0] = MORE;
      bridge();
    }
  }

  // --- state of the run -----------------------------------------------------------------------------------------

  let job;
  let time = 0;
  let lines = 0;
  let outcome;
  const faults = new WeakMap(); // errors made here -> the kind that ends the run as such

  function named(error, name) {
    defineProperty(error, 'name', { __proto__: null, value: name, writable: true, configurable: true });
    return error;
  }

  function fault(kind, message) {
    const error = named(new RealError(message), kind);
    mapSet(faults, error, kind);
    return error;
  }

  function utf8Length(string) {
    let size = string.length;
    for (let i = 0, end = string.length; i < end; i++) {
      const unit = charCodeAt(string, i);
      // A surrogate is half of a four-byte character: two bytes each.
      if (unit > 0x7f) size += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
    }
    return size;
  }

  function serialise(value, what) {
    let json;
    try {
      json = stringify(value);
    } catch (error) {
      const message = instanceOf(RealTypeError, error) || instanceOf(RealRangeError, error) ? text(error.message) : '';
      if (startsWith(message, 'Converting circular structure')) throw fault('NotSerializable', `${what} holds a cycle. ${message}`);
      if (startsWith(message, 'Do not know how to serialize a BigInt'))
        throw fault('NotSerializable', `${what} holds a BigInt, which has no JSON form: convert it with Number() or String()`);
      if (startsWith(message, 'Invalid string length'))
        throw fault('PayloadTooLarge', `${what} is larger than the cap of ${job.limits.payload_bytes} bytes`);
      throw error;
    }
    if (json === undefined) throw fault('NotSerializable', `${what} is a ${typeof value}, which has no JSON form`);
    const cap = job.limits.payload_bytes;
    if (json.length * 3 > cap) {
      const size = json.length > cap ? json.length : utf8Length(json);
      if (size > cap) throw fault('PayloadTooLarge', `${what} has ${size} bytes as JSON, the cap is ${cap}`);
    }
    return json;
  }

  // --- host calls -----------------------------------------------------------------------------------------------

  function ask(name, argumentsJson) {
    const stack = text(new RealError('').stack);
    send(ASK, `{"kind":"call","name":${stringify(name)},"stack":${stringify(stack)},"arguments":${argumentsJson}}`);
    const reply = parse(received());
    if (reply.kind === 'throw') throw named(new RealError(reply.message), reply.name);
    time = reply.time_ms;
    return reply.value;
  }

  function describe(value) {
    if (value === null) return 'null';
    if (isArray(value)) return 'an array';
    return typeof value === 'object' ? 'an object' : `a value of type ${typeof value}`;
  }

  function transition(fn, payload) {
    if (arguments.length !== 2)
      throw new RealTypeError(`transition: expected 2 arguments, a function and its payload, got ${arguments.length}`);
    if (typeof fn !== 'function')
      throw new RealTypeError(`transition: expected a function as first argument, got ${describe(fn)}`);
    const name = fn.name;
    if (typeof name !== 'string' || name === '')
      throw new RealTypeError('transition: expected a named function as first argument, got one without a name');
    const json = payload === undefined ? 'null' : serialise(payload, `transition: the payload for ${name}`);
    ask('transition', `{"function":${stringify(name)},"payload":${json}}`);
    return fn(parse(json));
  }

  function finish(value) {
    const json = value === undefined ? 'null' : serialise(value, 'finish: the output');
    ask('finish', `{"output":${json}}`);
    return null;
  }

  function sleep(seconds) {
    if (seconds === undefined) return undefined;
    if (!isInteger(seconds)) {
      const given = typeof seconds === 'number' ? text(seconds) : describe(seconds);
      throw new RealTypeError(`sleep: expected a whole number of seconds, got ${given}`);
    }
    if (seconds > 0) ask('sleep', `{"seconds":${stringify(seconds)}}`);
    return undefined;
  }

  const id = () => job.instance_id;

  function now() {
    const at = time;
    return {
      unix: () => floor(at / 1000),
      format(layout) {
        if (typeof layout === 'string') return formatTime(at, layout);
        throw new RealTypeError(`now().format: expected a layout as string, got ${describe(layout)}`);
      },
    };
  }

  // --- log ------------------------------------------------------------------------------------------------------

  function printable(value) {
    if (typeof value === 'string') return value;
    try {
      if (instanceOf(RealError, value)) return text(value);
      const json = stringify(value);
      if (json !== undefined) return json;
    } catch {
      // Falls through to String, the form for what JSON cannot show.
    }
    try {
      return text(value);
    } catch {
      return `[${typeof value}]`;
    }
  }

  function tell(level, line) {
    send(TELL, `{"kind":"log","level":"${level}","text":${stringify(line)}}`);
  }

  function write(level, values) {
    const { log_lines: most, log_line_bytes: longest } = job.limits;
    if (lines > most) return;
    lines++;
    if (lines > most) {
      tell('warn', `more than ${most} log lines: further lines are dropped`);
      return;
    }
    let line = '';
    for (let i = 0; i < values.length && line.length <= longest; i++) line += (i === 0 ? '' : ' ') + printable(values[i]);
    tell(level, slice(line, 0, longest + 1));
  }

  const writer = (name, level) => ({ [name](...values) { write(level, values); } })[name];

  // --- determinism ----------------------------------------------------------------------------------------------

  function hide(object, name, value) {
    defineProperty(object, name, { __proto__: null, value, writable: true, enumerable: false, configurable: true });
  }

  function WorkflowDate(...values) {
    if (new.target === undefined) return dateToString(new RealDate(time));
    return construct(RealDate, values.length === 0 ? [time] : values, new.target);
  }
  const dateToString = uncurry(RealDate.prototype.toString);
  WorkflowDate.prototype = RealDate.prototype;
  freeze(WorkflowDate, 'prototype');
  defineProperty(WorkflowDate, 'name', { __proto__: null, value: 'Date' });
  defineProperty(WorkflowDate, 'length', { __proto__: null, value: 7 });
  hide(WorkflowDate, 'now', function now() { return time; });
  hide(WorkflowDate, 'parse', RealDate.parse);
  hide(WorkflowDate, 'UTC', RealDate.UTC);
  hide(RealDate.prototype, 'constructor', WorkflowDate);
  hide(global, 'Date', WorkflowDate);

  // Intl formats the real time where it is given none.
  const DateTimeFormat = Intl.DateTimeFormat.prototype;
  const formatGetter = uncurry(getOwnPropertyDescriptor(DateTimeFormat, 'format').get);
  const formatToParts = uncurry(DateTimeFormat.formatToParts);
  defineProperty(DateTimeFormat, 'format', {
    __proto__: null, configurable: true,
    get: function format() {
      const bound = formatGetter(this);
      return (date) => bound(date === undefined ? time : date);
    },
  });
  hide(DateTimeFormat, 'formatToParts', function (date) { return formatToParts(this, date === undefined ? time : date); });

  // sfc32 by Chris Doty-Humphrey (PractRand): 128 bits of state, passes BigCrush.
  let a = 0, b = 0, c = 0, counter = 1;
  function nextWord() {
    const word = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + word) | 0;
    return word >>> 0;
  }
  function seedRandom(low, high) {
    a = 0; b = low | 0; c = high | 0; counter = 1;
    for (let i = 0; i < 12; i++) nextWord();
  }
  hide(Math, 'random', function random() {
    return ((nextWord() >>> 5) * 67108864 + (nextWord() >>> 6)) / 9007199254740992;
  });

  for (const name of ['WebAssembly', 'SharedArrayBuffer', 'Atomics', 'WeakRef', 'FinalizationRegistry', 'Temporal',
    'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'queueMicrotask', 'performance']) delete global[name];
  delete JSON.rawJSON;
  delete JSON.isRawJSON;
  delete RealDate.prototype.toTemporalInstant;

  // --- the globals of a script ----------------------------------------------------------------------------------

  const log = writer('log', 'info');
  const globals = { transition, finish, sleep, id, now, log, print: writer('print', 'info') };
  for (const name of ['fetch', 'fetchSync', 'getSecret', 'getSecrets', 'setVariable', 'getVariable', 'execSubflow',
    'generateAction', 'execService', 'step', 'waitForEvent']) {
    globals[name] = ({ [name]() { throw named(new RealError(`${name} is not available in this version`), 'NotAvailable'); } })[name];
  }
  globals.eval = ({ eval() { throw new RealEvalError('eval is not available in workflow scripts'); } }).eval;
  globals.console = {
    log, info: writer('info', 'info'), debug: writer('debug', 'debug'), warn: writer('warn', 'warn'), error: writer('error', 'error'),
  };
  for (const name of ownKeys(globals)) hide(global, name, globals[name]);

  // --- what bridge.py and job.py call ---------------------------------------------------------------------------

  function property(value, name) {
    try {
      const found = value[name];
      return typeof found === 'string' ? found : undefined;
    } catch {
      return undefined;
    }
  }

  function failed(error) {
    let name = 'Error', message, stack = '', kind = 'Thrown';
    if ((typeof error === 'object' && error !== null) || typeof error === 'function') {
      name = property(error, 'name') || name;
      message = property(error, 'message');
      stack = property(error, 'stack') || '';
      kind = mapGet(faults, error) || kind;
      if (name === 'RangeError' && message === 'Array buffer allocation failed') kind = 'MemoryLimit';
    }
    if (message === undefined) message = printable(error);
    return `{"kind":"failed","error":"${kind}","name":${stringify(slice(name, 0, 256))},` +
      `"message":${stringify(slice(message, 0, 8192))},"stack":${stringify(slice(stack, 0, 16384))},"report":""}`;
  }

  function returned(value) {
    const json = value === undefined ? 'null' : serialise(value, 'the return value');
    outcome = `{"kind":"returned","output":${json}}`;
  }

  // The engine turns the thrown value into a string for its report: an object is described then.
  function describeWhenReported() {
    tryDefineProperty(objectPrototype, toPrimitive, {
      __proto__: null, configurable: true,
      value() {
        delete objectPrototype[toPrimitive];
        outcome = failed(this);
        return '';
      },
    });
  }

  async function settle(promise) {
    try {
      returned(await promise);
    } catch (error) {
      outcome = failed(error);
    }
  }

  function begin(json) {
    job = parse(json);
    time = job.time_ms;
    seedRandom(job.seed[0], job.seed[1]);
  }

  // What the entry throws is not caught, because the engine's report knows the place of any thrown value, and a catch
  // would lose it.
  function execute(entry) {
    let done = false;
    try {
      const input = job.input === null ? undefined : parse(job.input);
      const value = apply(entry, undefined, [input]);
      const awaitable = typeof value === 'object' && value !== null && typeof value.then === 'function';
      if (awaitable) settle(value);
      else returned(value);
      done = true;
    } finally {
      if (!done) describeWhenReported();
    }
  }

  // One function for all, because each crossing into the isolate costs; what it is given as `this` says what to do.
  return function control() {
    if (bridge === undefined) {
      bridge = this;
      return buffer;
    }
    switch (typeof this) {
      case 'string': return begin(this);
      case 'function': return execute(this);
      // The global `flow` of the script: which state does it name?
      case 'object': return this === null ? undefined : stringify(property(this, 'state'));
      // After all microtasks: nothing else can settle a promise then.
      default: return outcome;
    }
  };
})
