// Calls that give a promise, and the turns in which they are settled. A turn lasts until nothing more happens by itself;
// then the executor is asked for the next one. It belongs to the script's main line, or to one attempt of a step.

const MAX_PENDING = 1000; // engine/driving/turns.py
const pending = new RealMap(); // number of a call -> {number, name, units, signal, resolve, reject, take, fn, attempt}
const effects = new RealMap(); // number of an effect -> {number, attempt, units, signal, resolve, reject, take}
// Of the arguments of all of them, in UTF-16 units: the executor holds these, too.
const MOST_UNITS = 8 * 1024 * 1024; // engine/driving/turns.py
let units = 0;
let made = 0, sent = 0;
const dying = bareList(); // attempts whose signal is to be aborted, in turns of their own
let died = 0;

function tooMany(name, most) {
  return named(new RealError(`${name}: expected at most ${most} calls that are under way at once; use step.map with a concurrency`), 'TooManyCalls');
}

function checkRoom(calls, name, argumentsJson) {
  if (pairSize(calls) >= MAX_PENDING) throw tooMany(name, MAX_PENDING);
  if (units + argumentsJson.length > MOST_UNITS) throw tooMany(name, `${MOST_UNITS} characters of arguments in`);
}

const rejected_ = (error) => new RealPromise((resolve, reject) => reject(error));

// A promise of what the call gives; arguments are JSON. What is wrong with it rejects the promise.
function call(name, above, argumentsJson, given, signal) {
  asking(name);
  checkRoom(pending, name, argumentsJson);
  if (signal !== undefined && stateOf(signal).aborted) throw stateOf(signal).reason;
  const entry = { __proto__: null, ...given, signal, units: argumentsJson.length, number: made + 1, resolve: undefined, reject: undefined, attempt: undefined };
  const promise = waitingFor(pending, entry, (reason) => giveUp(entry, reason), () =>
    tell('async', name, above, `"number":${entry.number},"arguments":${argumentsJson}`));
  made = entry.number;
  return promise;
}

// Something that an attempt of a step does: nobody records it.
function effect(name, above, argumentsJson, take, signal) {
  const attempt = owner();
  asking(name, true);
  if (signal !== undefined && stateOf(signal).aborted) throw stateOf(signal).reason;
  checkRoom(effects, name, argumentsJson);
  const entry = { __proto__: null, units: argumentsJson.length, number: sent + 1, attempt, take, signal, resolve: undefined, reject: undefined };
  const promise = waitingFor(effects, entry, (reason) => cutOff(entry, reason), () =>
    tell('effect', name, above, `"number":${entry.number},"attempt":${attempt.number},"arguments":${argumentsJson}`));
  sent = entry.number;
  return promise;
}

// Told last: at the end of the stack any of this may throw, and the executor must not know of what is not there.
function waitingFor(calls, entry, aborted, telling) {
  const promise = new RealPromise((resolve, reject) => { entry.resolve = resolve; entry.reject = reject; });
  let told = false;
  try {
    pairSet(calls, entry.number, entry);
    whenAborted(entry.signal, entry, aborted);
    telling();
    units += entry.units;
    told = true;
  } finally {
    if (!told) { pairDelete(calls, entry.number); forget(entry.signal, entry); }
  }
  return promise;
}

function tell(kind, name, above, more) {
  const place = placeAbove(above);
  send(TELL, `{"kind":"${kind}","name":"${name}","line":${place.line},"column":${place.column},${more}}`);
}

// Nobody waits for it any longer; false if that was so before.
function drop(calls, entry) {
  if (!pairDelete(calls, entry.number)) return false;
  units -= entry.units;
  forget(entry.signal, entry);
  return true;
}

// The script's signal was aborted: it waits no longer, whatever comes of the call.
function giveUp(entry, reason) {
  if (!drop(pending, entry)) return;
  send(TELL, `{"kind":"abort","number":${entry.number}}`);
  entry.reject(reason);
  if (entry.attempt !== undefined && !entry.attempt.dead) dying[dying.length] = { __proto__: null, attempt: entry.attempt, reason };
}

function cutOff(entry, reason) {
  if (!drop(effects, entry)) return;
  send(TELL, `{"kind":"cut","number":${entry.number}}`);
  entry.reject(reason);
}

// --- attempts of steps

function begin(reply) {
  const entry = mapLookup(pending, reply.number);
  if (entry === undefined) return;
  const controller = new AbortController();
  const attempt = { __proto__: null, number: reply.number, call: entry, signal: controller.signal, dead: false, random: seededRandom(reply.seed[0], reply.seed[1]) };
  entry.attempt = attempt;
  switchTo(attempt, reply.time_ms);
  const context = { step: { name: entry.name, count: entry.count }, attempt: reply.attempt, idempotencyKey: reply.key, signal: attempt.signal, config: entry.config };
  if (reply.previous !== undefined) context.previousError = reply.previous;
  attemptOf(attempt, context);
}

async function attemptOf(attempt, context) {
  const { number, call: entry } = attempt;
  let told;
  try {
    const result = await apply(entry.fn, undefined, [context]);
    told = result === undefined ? '' : `,"output":${serialise(result, `step.do: the result of ${entry.name}`)}`;
    // Node would end the process for it.
    const lost = takeRejected(attempt);
    if (lost !== undefined) told = `,${failureOf(lost.reason)}`;
  } catch (error) {
    takeRejected(attempt);
    told = `,${failureOf(error)}`;
  }
  if (attempt.dead) return;
  attempt.dead = true;
  send(TELL, `{"kind":"result","number":${number}${told}}`);
}

// In a turn of the attempt.
function kill(attempt, reason) {
  switchTo(attempt);
  attempt.dead = true;
  takeRejected(attempt);
  abortSignal(attempt.signal, reason);
  const left = bareList();
  pairForEach(effects, (entry) => { if (entry.attempt === attempt) left[left.length] = entry; });
  for (let i = 0; i < left.length; i++) cutOff(left[i], abortError('the attempt of the step has ended'));
}

// --- turns

let entryState = 'unknown'; // then 'running', 'returned' or 'threw'
let over = false;
let entryValue, entryError;

async function watchEntry(result) {
  entryState = 'running';
  try {
    entryValue = await result;
    entryState = 'returned';
  } catch (error) {
    entryError = error;
    entryState = 'threw';
  }
}

const waiting = () => !over && entryState !== 'threw' && (pairSize(pending) > 0 || died < dying.length);

function taken(calls, number) {
  const found = mapLookup(calls, number);
  return found !== undefined && drop(calls, found) ? found : undefined;
}

// The next turn; it is over when all microtasks are.
function turn() {
  if (entryState === 'unknown') {
    if (entryWaits()) { watchEntry(entryResult()); return; }
    entryState = 'returned';
    entryValue = entryResult();
  }
  if (died < dying.length) {
    const { attempt, reason } = dying[died++];
    if (died === dying.length) dying.length = died = 0;
    kill(attempt, reason);
    return;
  }
  switchTo(undefined);
  send(ASK, `{"kind":"idle","returned":${entryState === 'returned'}}`);
  const reply = setPrototypeOf(parse(received()), null);
  if (reply.error !== undefined) setPrototypeOf(reply.error, null);
  switch (reply.kind) {
    case 'settle': {
      switchTo(undefined, reply.time_ms);
      const found = taken(pending, reply.number);
      if (found === undefined) return;
      if (reply.error !== undefined) found.reject(thrownAgain(reply.error));
      else found.resolve(found.take === undefined ? reply.value : found.take(reply.value));
      return;
    }
    case 'start':
      begin(reply);
      return;
    case 'effect': {
      const found = taken(effects, reply.number);
      switchTo(found.attempt, reply.time_ms);
      if (reply.error !== undefined) found.reject(thrownAgain(reply.error));
      else found.resolve(found.take(reply.value));
      return;
    }
    case 'timeout': {
      const found = mapLookup(pending, reply.number);
      if (found !== undefined && found.attempt !== undefined) kill(found.attempt, thrownAgain(reply.error));
      return;
    }
    default:
      switchTo(undefined, reply.time_ms);
      over = true;
  }
}
