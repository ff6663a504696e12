// The run: what isolates.py, realms.py and job.py call, in the one order in which they call it.

let job;
let time = 0;
let ended = false;
let value; // what the entry returned
let waits = false; // for a promise that it returned
let outcome;
let threw = false; // the entry, and the engine reports it
let failure; // {error, place}: what ends the run, where it is no outcome yet
const rejected = new RealMap(); // promises that nobody awaits -> {reason, place}

// rejections.py calls it: for a promise that is rejected while nobody awaits it, and again when somebody does.
function rejection(promise, ...reasons) {
  if (reasons.length === 0) pairDelete(rejected, promise);
  else pairSet(rejected, promise, { __proto__: null, reason: reasons[0], place: placeAbove(rejection), owner });
}

// Of the script's main line: what an attempt of a step leaves behind is not there in a replay.
function firstRejected() {
  let first;
  pairForEach(rejected, (found) => { first = first === undefined && found.owner === undefined ? found : first; });
  return first;
}

// The first one of an attempt, which is forgotten with all others of it.
function takeRejected(attempt) {
  let first;
  pairForEach(rejected, (found, promise) => {
    if (found.owner !== attempt) return;
    first = first === undefined ? found : first;
    pairDelete(rejected, promise);
  });
  return first;
}

// --- turns: of the script's main line, or of an attempt of a step, which has a time and a chance of its own

let owner; // the attempt; undefined in the main line
let mainRandom;
let durable; // what durable/ makes, for scripts that name it: {waiting, turn, entry}

function switchTo(attempt, at) {
  if (owner !== attempt) {
    if (owner === undefined) mainRandom = randomState(); else owner.random = randomState();
    setRandom(attempt === undefined ? mainRandom : attempt.random);
    owner = attempt;
  }
  if (at === undefined) return;
  time = at;
  lines = 0; // console.js
}

// The engine turns the thrown value into a string for its report: an object is described then.
function describeWhenReported() {
  tryDefineProperty(objectPrototype, toPrimitive, {
    __proto__: null, configurable: true,
    value() {
      delete objectPrototype[toPrimitive];
      if (outcome === undefined) outcome = failed(this);
      return '';
    },
  });
}

// The engine reads the stack of an error for its report: the last one whose stack was read is the one that was thrown.
function describeReported(report) {
  if (lastStack !== undefined && outcome === undefined && indexOf(report, `: ${headOf(lastStack)}\n`, 0) >= 0) outcome = failed(lastStack);
}

// What job.py asks of an object at the top level of the script: does it name or hold the entry?
function members(object) {
  const functions = bareList(), objects = bareList();
  try {
    const names = keys(object);
    for (let i = 0; i < names.length && i < 500; i++) {
      const kind = typeof member(object, names[i]);
      if (kind === 'function' && functions.length < 20) functions[functions.length] = slice(names[i], 0, 64);
      if (kind === 'object' && objects.length < 20) objects[objects.length] = names[i];
    }
  } catch { /* A proxy may hide its names. */ }
  return `{"state":${stringify(textMember(object, 'state')) || 'null'},"functions":${listText(functions)},"objects":${listText(objects)}}`;
}

function listText(list) {
  let out = '';
  for (let i = 0; i < list.length; i++) out += (i === 0 ? '' : ',') + stringify(list[i]);
  return `[${out}]`;
}

function returned(result) {
  const json = result === undefined ? 'null' : serialise(result, 'the return value');
  outcome = `{"kind":"returned","output":${json}${takeCaught()}}`;
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
    const kind = generatorKind(entry);
    if (kind !== undefined && !job.lenient) {
      // job.py knows the place.
      outcome = `{"generator":${stringify(kind)}}`;
      done = true;
      return;
    }
    const input = job.input === null ? undefined : parse(job.input);
    value = apply(entry, undefined, [input]);
    waits = isObject(value) && typeof value.then === 'function';
    done = true;
  } finally {
    if (!done) { threw = true; describeWhenReported(); }
  }
}

// Nothing goes on any more: now the value is taken, so that output and history agree.
async function settle() {
  const known = mapLookup(rejected, value);
  try {
    const result = await value;
    try {
      returned(result);
    } catch (error) {
      failure = { __proto__: null, error, place: undefined };
    }
  } catch (error) {
    failure = { __proto__: null, error, place: known === undefined ? undefined : known.place };
  }
}

function conclude() {
  if (threw || outcome !== undefined || doom !== undefined) return;
  const entry = durable === undefined ? undefined : durable.entry();
  if (waits && (entry === undefined || entry.state === 'unknown')) { settle(); return; }
  if (entry !== undefined && entry.state === 'running') return;
  if (entry !== undefined && entry.state === 'threw') { failure = { __proto__: null, error: entry.error, place: undefined }; return; }
  if (waits) value = entry.value;
  try {
    returned(value);
  } catch (error) {
    failure = { __proto__: null, error, place: undefined };
  }
}

const NOT_AWAITED = ' (in a promise that was not awaited)';

// The end, whatever the script does from here on.
function close() {
  ended = true;
  if (doom !== undefined) return failed(doom);
  if (threw) return outcome;
  const lost = job.lenient ? undefined : firstRejected();
  if (failure !== undefined) return failed(failure.error, failure.place, '', lost === undefined ? '' : `not awaited: ${headOf(lost.reason)}`);
  const succeeded = outcome !== undefined && startsWith(outcome, '{"kind":"returned"');
  if (lost !== undefined && (outcome === undefined || succeeded)) return failed(lost.reason, lost.place, NOT_AWAITED);
  return outcome;
}

// One function for all, because each crossing into the isolate costs. Each call is what is expected next, or nothing.
let stage = 0;
function control() {
  switch (stage) {
    case 0:
      stage = 1;
      return connect(this);
    case 1:
      // The globals of the web and those of durable/, where the script names one.
      if (typeof this === 'function') return apply(this, undefined, [shared()]);
      stage = 2;
      return begin(this);
    case 2:
      if (typeof this === 'function') { stage = 3; return execute(this); }
      if (typeof this === 'object' && this !== null) return members(this);
      if (typeof this !== 'string') return undefined;
      // The engine's report: the script's top level threw.
      stage = 5;
      describeReported(this);
      return close();
    case 3:
      if (typeof this === 'string') { stage = 4; return describeReported(this); }
      if (durable !== undefined && !threw && doom === undefined && durable.waiting()) {
        durable.turn();
        return 'turn';
      }
      stage = 4;
      return conclude();
    case 4:
      stage = 5;
      return close();
    default:
      return undefined;
  }
}
