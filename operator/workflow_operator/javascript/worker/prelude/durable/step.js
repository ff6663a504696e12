// The global `step`: what of a script is done once, and what it waits for.

const counts = new RealMap(); // name of a step -> how many there were
const STEP_MEMBERS = { __proto__: null, retries: 1, timeout: 1, atMostOnce: 1, signal: 1 };
const RETRY_MEMBERS = { __proto__: null, limit: 1, delay: 1, backoff: 1, maxDelay: 1, jitter: 1, maxDuration: 1 };
const BACKOFFS = { __proto__: null, constant: 1, linear: 1, exponential: 1 };
const MOST_RETRIES = 10000; // engine/calls/step.py
// An attempt holds its place in the executor; what takes longer is asked for, and waited for with step.sleep or an event.
const LONGEST_ATTEMPT_MS = 3600000; // engine/calls/step.py

function nameOf(name, what) {
  if (typeof name !== 'string') throw new RealTypeError(`${what}: expected a name as first argument, got ${describe(name)}`);
  if (name === '' || name.length > 256) throw new RealTypeError(`${what}: expected a name of 1 to 256 characters, got one of ${name.length}`);
  return withoutControls(name, `${what}: expected a name`);
}

// The members of an object of options, each of which is one of `known`.
function options(given, known, what) {
  if (given === undefined) return { __proto__: null };
  if (typeof given !== 'object' || given === null || isArray(given)) throw new RealTypeError(`${what}: expected an object, got ${describe(given)}`);
  const names = keys(given), found = { __proto__: null };
  for (let i = 0; i < names.length; i++) {
    if (!(names[i] in known)) throw new RealTypeError(`${what}: expected no member ${slice(names[i], 0, 64)}; there are ${listed(known)}`);
    found[names[i]] = given[names[i]];
  }
  return found;
}

function listed(known) {
  const names = keys(known);
  let out = '';
  for (let i = 0; i < names.length; i++) out += `${i === 0 ? '' : i === names.length - 1 ? ' and ' : ', '}${names[i]}`;
  return out;
}

function signalOf(signal, what) {
  if (signal === undefined || signal === null) return undefined;
  if (!mapHas(signals, signal)) throw new RealTypeError(`${what}: expected an AbortSignal as signal, got ${describe(signal)}`);
  return signal;
}

function numberIn(given, otherwise, least, most, what, whole) {
  if (given === undefined) return otherwise;
  if (typeof given !== 'number' || !(given >= least && given <= most) || (whole && !isInteger(given)))
    throw new RealTypeError(`${what}: expected a ${whole ? 'whole ' : ''}number from ${least} to ${most}, got ${typeof given === 'number' ? text(given) : describe(given)}`);
  return given;
}

function flag(given, what) {
  if (given !== undefined && typeof given !== 'boolean') throw new RealTypeError(`${what}: expected true or false, got ${describe(given)}`);
  return given === true;
}

// What a step is done by, with all defaults.
function policyOf(given) {
  const config = options(given, STEP_MEMBERS, 'step.do: the second argument');
  const retries = options(config.retries, RETRY_MEMBERS, 'step.do: retries');
  const atMostOnce = flag(config.atMostOnce, 'step.do: atMostOnce');
  const limit = retries.limit === infinity ? MOST_RETRIES
    : numberIn(retries.limit, atMostOnce && config.retries === undefined ? 0 : 5, 0, MOST_RETRIES, 'step.do: retries.limit', true);
  const { backoff = 'exponential' } = retries;
  if (typeof backoff !== 'string' || !(backoff in BACKOFFS))
    throw new RealTypeError(`step.do: retries.backoff: expected constant, linear or exponential, got ${typeof backoff === 'string' ? stringify(slice(backoff, 0, 64)) : describe(backoff)}`);
  const duration = (value, otherwise, what) => (value === undefined ? otherwise : milliseconds(value, `step.do: ${what}`));
  const timeout = duration(config.timeout, 300000, 'timeout');
  if (timeout === 0 || timeout > LONGEST_ATTEMPT_MS) throw new RealTypeError('step.do: timeout: expected a time above 0 and at most 1 hour');
  const delay = duration(retries.delay, 5000, 'retries.delay');
  const policy = {
    // Who asks for an hour gets it.
    limit, delay, backoff, maxDelay: duration(retries.maxDelay, delay > 300000 ? delay : 300000, 'retries.maxDelay'),
    jitter: numberIn(retries.jitter, 0.2, 0, 1, 'step.do: retries.jitter', false),
  };
  if (retries.maxDuration !== undefined) policy.maxDuration = milliseconds(retries.maxDuration, 'step.do: retries.maxDuration');
  return { __proto__: null, config: { retries: policy, timeout, atMostOnce }, signal: signalOf(config.signal, 'step.do') };
}

function do_(name, config, fn) {
  const shown = nameOf(name, 'step.do');
  if (arguments.length < 3) { fn = config; config = undefined; }
  if (typeof fn !== 'function') throw new RealTypeError(`step.do: expected a function as last argument, got ${describe(fn)}`);
  const kind = generatorKind(fn);
  if (kind !== undefined) throw new RealTypeError(`step.do: expected a function or an async function, ${name} is given ${kind}`);
  const { config: policy, signal } = policyOf(config);
  const count = (mapLookup(counts, name) || 0) + 1;
  const { retries, timeout, atMostOnce } = policy;
  let json = `{"name":${shown},"limit":${retries.limit},"delay":${retries.delay},"backoff":"${retries.backoff}","maxDelay":${retries.maxDelay},` +
    `"jitter":${stringify(retries.jitter)},"timeout":${timeout},"atMostOnce":${atMostOnce}`;
  if (retries.maxDuration !== undefined) json += `,"maxDuration":${retries.maxDuration}`;
  const promise = call('step.do', members.do, `${json}}`, { name, fn, count, config: policy }, signal);
  pairSet(counts, name, count);
  return promise;
}

function sleepUntil(name, at, given) {
  const shown = nameOf(name, 'step.sleepUntil');
  const { signal } = options(given, { __proto__: null, signal: 1 }, 'step.sleepUntil: the third argument');
  const time = typeof at === 'number' ? at : instanceOf(RealDate, at) ? dateValue(at) : undefined;
  if (time === undefined || time !== time) throw new RealTypeError(`step.sleepUntil: expected a Date, or milliseconds since 1970, got ${time === undefined ? describe(at) : 'an invalid one'}`);
  if (time - now_() > LONGEST_MS) throw new RealRangeError('step.sleepUntil: expected a time within 100 years');
  return call('step.sleepUntil', members.sleepUntil, `{"name":${shown},"at":${time < 0 ? 0 : ceil(time)}}`, { name }, signalOf(signal, 'step.sleepUntil'));
}

function sleep(name, duration, given) {
  const shown = nameOf(name, 'step.sleep');
  const { signal } = options(given, { __proto__: null, signal: 1 }, 'step.sleep: the third argument');
  return call('step.sleep', members.sleep, `{"name":${shown},"duration":${milliseconds(duration, 'step.sleep')}}`, { name }, signalOf(signal, 'step.sleep'));
}

function waitForEvent(name, given) {
  const shown = nameOf(name, 'step.waitForEvent');
  const { type, timeout, signal } = options(given, { __proto__: null, type: 1, timeout: 1, signal: 1 }, 'step.waitForEvent: the second argument');
  if (type === undefined) throw new RealTypeError('step.waitForEvent: expected { type }, a text or an array of texts');
  const types = typeof type === 'string' ? [type] : listOf(type, 'step.waitForEvent: type');
  if (types.length < 1 || types.length > 16) throw new RealTypeError(`step.waitForEvent: expected 1 to 16 types, got ${types.length}`);
  let list = '';
  for (let i = 0; i < types.length; i++) list += `${i === 0 ? '' : ','}${typeOf(types[i])}`;
  const wait = timeout === undefined ? '' : `,"timeout":${milliseconds(timeout, 'step.waitForEvent: timeout')}`;
  return call('step.waitForEvent', members.waitForEvent, `{"name":${shown},"types":[${list}]${wait}}`, { name }, signalOf(signal, 'step.waitForEvent'));
}

function typeOf(type) {
  if (typeof type !== 'string' || type === '' || type.length > 100)
    throw new RealTypeError(`step.waitForEvent: expected types of 1 to 100 characters, got ${typeof type === 'string' ? `one of ${type.length}` : describe(type)}`);
  return withoutControls(type, 'step.waitForEvent: expected types');
}

function withoutControls(given, expected) {
  for (let i = 0; i < given.length; i++) {
    const code = charCodeAt(given, i);
    if (code < 32 || (code > 126 && code < 160)) throw new RealTypeError(`${expected} without control characters, got ${stringify(given)}`);
  }
  return stringify(given);
}

// --- races and lists: plain JavaScript, which records nothing

async function race(branches) {
  if (typeof branches !== 'object' || branches === null || isArray(branches))
    throw new RealTypeError(`step.race: expected an object of functions, got ${describe(branches)}`);
  const names = keys(branches);
  if (names.length === 0) throw new RealTypeError('step.race: expected at least one branch');
  for (let i = 0; i < names.length; i++)
    if (typeof branches[names[i]] !== 'function') throw new RealTypeError(`step.race: expected a function as ${slice(names[i], 0, 64)}, got ${describe(branches[names[i]])}`);
  const controller = new AbortController();
  try {
    return await new RealPromise((resolve, reject) => {
      const run = async (winner) => {
        try {
          const value = await apply(branches[winner], undefined, [controller.signal]);
          resolve({ winner, value });
        } catch (error) { reject(error); }
      };
      for (let i = 0; i < names.length; i++) run(names[i]);
    });
  } finally {
    controller.abort(abortError('another branch of step.race was first'));
  }
}

async function map(items, given, fn) {
  if (typeof given === 'function' && fn === undefined) { fn = given; given = undefined; }
  const list = listOf(items, 'step.map: the items');
  const { concurrency, settle } = options(given, { __proto__: null, concurrency: 1, settle: 1 }, 'step.map: the second argument');
  const most = numberIn(concurrency, 10, 1, MAX_PENDING, 'step.map: concurrency', true), settles = flag(settle, 'step.map: settle');
  if (typeof fn !== 'function') throw new RealTypeError(`step.map: expected a function as last argument, got ${describe(fn)}`);
  const results = [];
  for (let i = 0; i < list.length; i++) put(results, i, undefined);
  let next = 0, failed = false, error;
  const work = async () => {
    while (!failed && next < list.length) {
      const i = next++;
      try {
        const value = await apply(fn, undefined, [list[i], i]);
        put(results, i, settles ? { status: 'fulfilled', value } : value);
      } catch (reason) {
        if (settles) put(results, i, { status: 'rejected', reason });
        else if (!failed) { failed = true; error = reason; }
      }
    }
  };
  // One after the other: what is in flight when one fails is waited for.
  const workers = bareList();
  for (let i = 0; i < most && i < list.length; i++) workers[i] = work();
  for (let i = 0; i < workers.length; i++) await workers[i];
  if (failed) throw error;
  return results;
}

// The elements of an array or of another iterable.
function listOf(given, what) {
  if (!isObject(given) || typeof given[iteratorSymbol] !== 'function') throw new RealTypeError(`${what}: expected an array, got ${describe(given)}`);
  const list = bareList();
  if (isArray(given)) for (let i = 0; i < given.length; i++) list[i] = given[i];
  else for (const item of given) list[list.length] = item;
  return list;
}

const info = () => ({ id: job().instance_id, name: job().name, namespace: job().namespace, startTime: job().time_ms });

// What is wrong with a call rejects its promise.
const promised = (name, fn) => ({ [name](...values) {
  try { return apply(fn, undefined, values); } catch (error) { return rejected_(error); }
} }[name]);
const members = nativeMembers({
  do: promised('do', do_), sleep: promised('sleep', sleep), sleepUntil: promised('sleepUntil', sleepUntil),
  waitForEvent: promised('waitForEvent', waitForEvent), map: promised('map', map), race: promised('race', race), info,
});
const step = function (...values) { throw new RealTypeError('step: expected one of its members, use step.do(name, fn)'); };
const names = keys(members);
for (let i = 0; i < names.length; i++) hide(step, names[i], members[names[i]]);
for (const name of ['sendEvent', 'invoke', 'job', 'shield', 'publish', 'continueAsNew']) {
  const refused = { [name](...values) { throw notAvailable(`step.${name} is not available in this version`); } }[name];
  hide(step, name, native(refused, name));
}

// --- fetch

function fetch(url, config) {
  let signal;
  if (typeof config === 'object' && config !== null && config.signal !== undefined) {
    signal = signalOf(config.signal, 'fetch');
    config = { ...config };
    delete config.signal;
  }
  const { requestJson, responseOf } = requests();
  const asked = requestJson('fetch', url, config);
  return owner() === undefined ? call('fetch', global_.fetch, asked, { name: 'fetch', take: responseOf }, signal) : effect('fetch', global_.fetch, asked, responseOf, signal);
}

function uuid() {
  const digits = '0123456789abcdef';
  let out = '';
  for (let i = 0; i < 32; i++) {
    const random = floor(chance() * 16);
    if (i === 8 || i === 12 || i === 16 || i === 20) out += '-';
    out += digits[i === 12 ? 4 : i === 16 ? 8 + random % 4 : random];
  }
  return out;
}

const global_ = { __proto__: null, step: native(step, 'step'), fetch: native(promised('fetch', fetch)), uuid: native(uuid), AbortController, AbortSignal, NonRetryableError, RetryableError };
for (const name of ['AbortController', 'AbortSignal', 'NonRetryableError', 'RetryableError']) {
  native(global_[name], name);
  nativeMembers(global_[name]);
  nativeMembers(global_[name].prototype);
}
const globalNames = ownKeys(global_);
for (let i = 0; i < globalNames.length; i++) hide(global, globalNames[i], global_[globalNames[i]]);
register({ __proto__: null, waiting, turn, entry: () => ({ __proto__: null, state: entryState, value: entryValue, error: entryError }) });
