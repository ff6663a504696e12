// What bridge.py and job.py call.
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
function control() {
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
}
