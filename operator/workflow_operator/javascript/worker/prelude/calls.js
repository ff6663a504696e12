// What a script calls and the host answers.

// Of transitions inside each other. Below what the stack holds on every machine (bridge.V8_FLAGS sets its size), so that
// it is this number that ends a recursion, the same in each execution; and above the 4,034 of releases that had none.
const MAX_TRANSITIONS = 4096;
const MAX_NAME = 256;
const MOST_CAUGHT = 8; // envelope.MOST_CAUGHT
const CAUGHT_UNITS = 200; // envelope.CAUGHT_CHARACTERS
const THREW = { __proto__: null };
const MAX_SLEEP_SECONDS = 100 * 365 * 24 * 3600; // engine/calls/sleep.py
let depth = 0;
let finished = false;
let caughtSteps = '', caughtCount = 0; // functions of transitions that threw since the last message: the script went on

// `live`: an attempt of a step may do it.
function mayAsk(name, live) {
  if (doom !== undefined) throw doom;
  if (ended) throw new RealError(`${name}: the run has ended`);
  if (owner !== undefined && owner.dead) throw named(new RealError(`${name}: the attempt of step ${owner.call.name} has ended`), 'AbortError');
  if (owner !== undefined && live !== true)
    throw named(new RealError(`${name}: called while step ${owner.call.name} was running: inside it, or by code that waits for a promise made in it; ` +
      'call it before or behind the step, whose function may fetch and compute'), 'NestedCall');
}

function ask(name, above, argumentsJson, live) {
  mayAsk(name, live);
  const place = placeAbove(above);
  const more = owner === undefined ? takeCaught() : `,"attempt":${owner.number}`;
  send(ASK, `{"kind":"call","name":"${name}","line":${place.line},"column":${place.column},"arguments":${argumentsJson}${more}}`);
  const reply = parse(received());
  time = reply.time_ms;
  lines = 0; // console.js: of a run that goes on and on
  if (reply.kind === 'throw') throw named(new (reply.name === 'TypeError' ? RealTypeError : RealError)(reply.message), reply.name);
  return reply.value;
}

// What of a function is no plain function, and is never run by a call alone; undefined for all others.
function generatorKind(fn) {
  if (instanceOf(AsyncGeneratorFunction, fn)) return 'an async generator function (async function*)';
  if (instanceOf(GeneratorFunction, fn)) return 'a generator function (function*)';
  return undefined;
}

function checkStep(fn, count) {
  if (count !== 2)
    throw new RealTypeError(`transition: expected 2 arguments, a function and its payload, got ${count}`);
  if (typeof fn !== 'function')
    throw new RealTypeError(`transition: expected a function as first argument, got ${describe(fn)}`);
  const name = fn.name;
  if (typeof name !== 'string' || name === '')
    throw new RealTypeError('transition: expected a named function as first argument, got one without a name');
  if (name.length > MAX_NAME)
    throw new RealTypeError(`transition: expected a function whose name has at most ${MAX_NAME} characters, got one of ${name.length}`);
  const kind = generatorKind(fn);
  if (kind !== undefined && !job.lenient)
    throw new RealTypeError(`transition: expected a function or an async function, ${name} is ${kind}`);
  if (depth >= MAX_TRANSITIONS)
    throw new RealRangeError(`transition: expected at most ${MAX_TRANSITIONS} transitions inside each other: write a loop in main ` +
      `that calls transition, instead of ending ${name} with another transition`);
  return name;
}

// In a `finally`, which does not know what was thrown: a catch would, and V8 would lose the place of what is no Error.
// The promise of an async function tells, where it is rejected by now; to wait for it would hide that nobody awaits it.
function noteThrown(name, result) {
  const known = result === THREW ? THREW : mapLookup(rejected, result);
  if (known === undefined) return;
  const told = known === THREW || job.lenient ? '' : `,"error":${stringify(slice(headOf(known.reason), 0, CAUGHT_UNITS))}`;
  const step = `{"function":${stringify(name)}${told}}`;
  if (caughtCount < MOST_CAUGHT) caughtSteps += caughtCount === 0 ? step : `,${step}`;
  caughtCount++;
}

// The member for the next message; none, if nothing threw.
function takeCaught() {
  if (caughtCount === 0) return '';
  const more = caughtCount > MOST_CAUGHT ? caughtCount - MOST_CAUGHT : 0;
  const found = `,"caught":{"steps":[${caughtSteps}],"more":${more}}`;
  caughtSteps = '';
  caughtCount = 0;
  return found;
}

function record(name, payload) {
  const json = payload === undefined ? 'null' : serialise(payload, `transition: the payload for ${name}`);
  ask('transition', transition, `{"function":${stringify(name)},"payload":${json}}`);
  // An undefined payload is recorded as null, and stays undefined for the function, so that its defaults work.
  return payload === undefined && !job.lenient ? undefined : parse(json);
}

// It stays on the stack while fn runs: so it has few variables of its own.
function transition(fn, payload) {
  const name = checkStep(fn, arguments.length);
  payload = record(name, payload);
  let result = THREW;
  depth++;
  try {
    return result = fn(payload);
  } finally {
    depth--;
    try { noteThrown(name, result); } catch { /* At the end of the stack there is no room for it. */ }
  }
}

function finish(value) {
  const json = value === undefined ? 'null' : serialise(value, 'finish: the output');
  // Only the first one counts.
  if (finished) mayAsk('finish');
  else ask('finish', finish, `{"output":${json}}`);
  finished = true;
  return null;
}

function sleep(seconds) {
  if (seconds === undefined && job.lenient) return undefined;
  if (!isInteger(seconds)) {
    const given = typeof seconds === 'number' ? text(seconds) : describe(seconds);
    throw new RealTypeError(`sleep: expected a whole number of seconds, got ${given}`);
  }
  if (seconds > MAX_SLEEP_SECONDS)
    throw new RealRangeError(`sleep: expected at most ${MAX_SLEEP_SECONDS} seconds (100 years), got ${seconds}`);
  if (seconds > 0) ask('sleep', sleep, `{"seconds":${stringify(seconds)}}`);
  return undefined;
}

const id = () => job.instance_id;

function now() {
  const at = time;
  return {
    unix: native(() => floor(at / 1000), 'unix'),
    format: native(function format(layout) {
      if (typeof layout === 'string') return formatTime(at, layout);
      throw new RealTypeError(`now().format: expected a layout as string, got ${describe(layout)}`);
    }),
  };
}
