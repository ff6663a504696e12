// Durations: a number of milliseconds, or a text such as '90s', '1h 30m' or '2 days'. First of the files of what is done
// durably: it takes what the prelude hands them.
const {
  ASK, RealDate, RealError, RealMap, RealPromise, RealRangeError, RealTypeError, TELL, WorkflowError, apply, asking, bareList, ceil, chance,
  charCodeAt, construct, dateValue, defineProperty, describe, entryResult, entryWaits, floor, generatorKind, global, hide, indexOf, infinity, instanceOf,
  isArray, isInteger, isObject, iteratorSymbol, job, keys, looksLikeError, mapGet, mapHas, mapLookup, mapSet, member, named, native, nativeMembers,
  notAvailable, now_, numberOf, owner, ownKeys, pairDelete, pairForEach, pairSet, pairSize, parse, placeAbove, placeOf, printable, put, received,
  register, requests, seededRandom, send, serialise, setPrototypeOf, slice, stacks, stringify, switchTo, takeRejected, text, textMember, tryDefineProperty,
} = shared;

const UNITS = { __proto__: null };
for (const [milliseconds, ...names] of [
  [1, 'ms', 'millisecond', 'milliseconds'], [1000, 's', 'sec', 'second', 'seconds'], [60000, 'm', 'min', 'minute', 'minutes'],
  [3600000, 'h', 'hour', 'hours'], [86400000, 'd', 'day', 'days'], [604800000, 'w', 'week', 'weeks'],
]) for (const name of names) UNITS[name] = milliseconds;
const LONGEST_MS = 100 * 365 * 86400000; // engine/calls/timers.py
const isDigit = (code) => code >= 48 && code <= 57;
const isLetter = (code) => code >= 97 && code <= 122;

// What a text says, in milliseconds; undefined if it is none.
function readDuration(given) {
  let total = 0, found = false, i = 0;
  if (given.length > 100) return undefined;
  const space = () => { while (i < given.length && charCodeAt(given, i) === 32) i++; };
  for (space(); i < given.length; space()) {
    const from = i;
    while (i < given.length && (isDigit(charCodeAt(given, i)) || given[i] === '.')) i++;
    const count = numberOf(slice(given, from, i));
    if (from === i || count - count !== 0) return undefined;
    space();
    const word = i;
    while (i < given.length && isLetter(charCodeAt(given, i))) i++;
    const unit = UNITS[slice(given, word, i)];
    if (unit === undefined) return undefined;
    total += count * unit;
    found = true;
  }
  return found ? total : undefined;
}

// Whole milliseconds; `what` names it in errors.
function milliseconds(given, what) {
  const read = typeof given === 'number' ? given : typeof given === 'string' ? readDuration(given) : undefined;
  if (read === undefined || read !== read) {
    const shown = typeof given === 'string' ? stringify(slice(given, 0, 64)) : typeof given === 'number' ? text(given) : describe(given);
    throw new RealTypeError(`${what}: expected milliseconds as a number, or a text such as "90s", "1h 30m" or "2 days", got ${shown}` +
      (typeof given === 'string' && (indexOf(given, 'month', 0) >= 0 || indexOf(given, 'year', 0) >= 0) ? '; for months and years use step.sleepUntil' : ''));
  }
  if (read > LONGEST_MS) throw new RealRangeError(`${what}: expected at most 100 years, got ${text(read)} ms`);
  return read <= 0 ? 0 : ceil(read);
}
