// Values as JSON: one rule for payloads, outputs and return values. What would lose all that it holds, or become null,
// is refused with its path; members that are undefined are left out, and toJSON is called, as JSON does everywhere.
// In a run that 0.2.0 started, `job.lenient`, all is taken as JSON takes it: it may be recorded already.

const MAX_NESTING = 100; // history.events.MAX_NESTING
const PATH_UNITS = 512;

// Prototypes of what JSON turns into {}, null or an object of indexes -> what it is, and what to write instead.
const emptied = new WeakMap();
const lose = (prototype, what, remedy) => mapSet(emptied, prototype, { __proto__: null, what, remedy });
lose(Map.prototype, 'a Map', 'use Object.fromEntries(map)');
lose(Set.prototype, 'a Set', 'use Array.from(set)');
lose(WeakMap.prototype, 'a WeakMap', 'it has no JSON form');
lose(WeakSet.prototype, 'a WeakSet', 'it has no JSON form');
lose(RealError.prototype, 'an Error', 'use String(error)');
lose(RegExp.prototype, 'a RegExp', 'use String(regexp)');
lose(RealPromise.prototype, 'a promise', 'await it, or use Promise.all');
lose(IteratorPrototype, 'an iterator', 'use Array.from(iterator)');
lose(AsyncIteratorPrototype, 'an async iterator', 'use await Array.fromAsync(iterator)');
lose(TypedArray.prototype, 'a typed array', 'use Array.from(array)');
lose(ArrayBuffer.prototype, 'an ArrayBuffer', 'use Array.from(new Uint8Array(buffer))');
lose(DataView.prototype, 'a DataView', 'use Array.from(new Uint8Array(view.buffer))');
lose(BigInt.prototype, 'a BigInt', 'convert it with Number() or String()');
lose(Symbol.prototype, 'a symbol', 'use a string');
for (const boxed of [Number, String, Boolean]) mapSet(emptied, boxed.prototype, null);

let visited = 0;
let mostVisited = 0;
let trail; // the keys down to what was found, from the inside to the outside
let ancestors;
let behindToJSON; // whether a toJSON gives some of it: what that is, the walk does not see
let told; // how many of the keys, from the outside, lead to what was found

const problem = (what, remedy) => ({ __proto__: null, what, remedy });
const asNull = (value) => problem(value, 'JSON turns it into null; use null, or leave it out');

function through(key, found) {
  trail[trail.length] = key;
  return found;
}

// What in an object JSON would lose; undefined if nothing.
function lost(object, depth) {
  if (depth >= MAX_NESTING) return tooDeep(object);
  const toJSON = object.toJSON;
  if (typeof toJSON === 'function') {
    if (instanceOf(RealDate, object) && dateOrNaN(object) !== dateOrNaN(object)) return asNull('an invalid Date');
    behindToJSON = behindToJSON || toJSON !== dateToJSON;
    return undefined;
  }
  ancestors[depth] = object;
  if (isArray(object)) {
    const length = object.length;
    visited += length;
    if (visited > mostVisited) throw tooLarge();
    for (let i = 0; i < length; i++) {
      const value = object[i], kind = typeof value;
      if (kind === 'string' || kind === 'boolean' || value === null || (kind === 'number' && value - value === 0)) continue;
      const found = kind === 'object' ? lost(value, depth + 1) : lostPrimitive(value, kind);
      if (found !== undefined) return through(i, found);
    }
    return undefined;
  }
  const found = lostKind(object);
  if (found !== undefined) return found === null ? undefined : found;
  const names = keys(object);
  visited += names.length;
  if (visited > mostVisited) throw tooLarge();
  for (let i = 0; i < names.length; i++) {
    const value = object[names[i]], kind = typeof value;
    if (kind === 'string' || kind === 'boolean' || value === null || value === undefined) continue;
    if (kind === 'number' && value - value === 0) continue;
    const found = kind === 'object' ? lost(value, depth + 1) : lostPrimitive(value, kind);
    if (found !== undefined) return through(names[i], found);
  }
  return names.length > 0 ? undefined : memberless(object);
}

// What an object is lost for by its kind; null for one that JSON takes as a primitive, undefined for all others.
function lostKind(object) {
  const prototype = tryGetPrototypeOf(object);
  if (prototype === null || prototype === objectPrototype) return undefined;
  for (let next = prototype; next !== null; next = tryGetPrototypeOf(next)) {
    const found = mapGet(emptied, next);
    if (found === null && next === NumberPrototype && !isFiniteNumber(numberOrNull(object))) return asNull(text(numberOrNull(object)));
    if (found !== undefined) return found;
  }
  return undefined;
}

function memberless(object) {
  const prototype = tryGetPrototypeOf(object);
  if (prototype === null || prototype === objectPrototype) return undefined;
  const name = textMember(member(prototype, 'constructor'), 'name') || 'a class';
  return problem(`an instance of ${slice(name, 0, 64)}`, 'JSON sees no member of it; give its class a toJSON()');
}

function numberOrNull(boxed) {
  try {
    return numberValue(boxed);
  } catch {
    return 0; // It only looks like one.
  }
}

// A replacer that changes nothing, and refuses what a toJSON gave and JSON would lose. It sees each value as JSON takes it.
function watching(what) {
  const holders = bareList(), names = bareList();
  let seen = 0;
  return function (key, value) {
    let depth = holders.length;
    while (depth > 0 && holders[depth - 1] !== this) depth--;
    holders.length = names.length = depth;
    if (depth > 0) names[depth - 1] = isArray(this) ? number(key) : key;
    if (++seen > mostVisited) throw tooLarge();
    const kind = typeof value;
    let found;
    if (kind === 'object' && value !== null) {
      found = isArray(value) ? undefined : lostKind(value);
      if (found === undefined && !isArray(value) && keys(value).length === 0) found = memberless(value);
      holders[depth] = value;
    } else if (kind === 'number' ? value - value !== 0 : kind === 'symbol' || kind === 'function' || kind === 'bigint') {
      found = lostPrimitive(value, kind);
    } else if (kind === 'undefined' && depth > 0 && isArray(this)) {
      found = asNull('undefined');
    }
    if (found !== undefined && found !== null) {
      told = MAX_NESTING; // A toJSON may have called transition.
      throw refused(found, what, outward(names));
    }
    return value;
  };
}

function outward(names) {
  const reversed = bareList();
  for (let i = names.length - 1; i >= 0; i--) reversed[reversed.length] = names[i];
  return reversed;
}

function lostPrimitive(value, kind) {
  if (kind === 'number') return asNull(text(value));
  if (kind === 'undefined') return asNull('undefined');
  // Scripts that want BigInt in JSON give it a toJSON.
  if (kind === 'bigint') {
    if (typeof value.toJSON !== 'function') return mapGet(emptied, BigIntPrototype);
    behindToJSON = true;
    return undefined;
  }
  if (kind === 'symbol') return mapGet(emptied, SymbolPrototype);
  if (kind === 'function' && typeof value.toJSON === 'function') {
    behindToJSON = true;
    return undefined;
  }
  return problem('a function', 'it has no JSON form; leave it out');
}
const BigIntPrototype = BigInt.prototype, NumberPrototype = Number.prototype, SymbolPrototype = Symbol.prototype;

function dateOrNaN(date) {
  try {
    return dateValue(date);
  } catch {
    return 0; // It only looks like one.
  }
}

function tooDeep(object) {
  ancestors[MAX_NESTING] = object;
  for (let end = 1; end <= MAX_NESTING; end++) {
    for (let i = 0; i < end; i++) {
      if (ancestors[i] !== ancestors[end]) continue;
      told = end;
      return problem('a cycle', 'JSON has no form for an object inside itself');
    }
  }
  return problem('a value', `it is nested too deeply; expected at most ${MAX_NESTING} levels of arrays and objects`);
}

const tooLarge = () => fault('PayloadTooLarge', `it has more than ${job.limits.payload_bytes} bytes as JSON`);

function path(trail) {
  let found = '';
  const end = told < trail.length ? trail.length - told : 0;
  for (let i = trail.length - 1; i >= end && found.length < PATH_UNITS; i--) {
    const key = trail[i];
    if (typeof key === 'number') found += `[${key}]`;
    else if (isPlainName(key)) found += found === '' ? key : `.${key}`;
    else found += `[${stringify(slice(key, 0, 64))}]`;
  }
  return slice(found, 0, PATH_UNITS);
}

// No regular expression: a match would change RegExp.$1 under the script's hands.
function isPlainName(key) {
  if (key === '' || key.length > 64) return false;
  for (let i = 0; i < key.length; i++) {
    const unit = charCodeAt(key, i);
    const letter = (unit >= 97 && unit <= 122) || (unit >= 65 && unit <= 90) || unit === 95 || unit === 36;
    if (!letter && (i === 0 || unit < 48 || unit > 57)) return false;
  }
  return true;
}

function refuseLost(value, what) {
  visited = 0;
  mostVisited = job.limits.payload_bytes;
  trail = bareList();
  ancestors = bareList();
  told = MAX_NESTING;
  behindToJSON = false;
  const kind = typeof value;
  if (kind === 'string' || kind === 'boolean' || value === null) return;
  let found;
  if (kind === 'object') found = lost(value, 0);
  else if (kind !== 'number' || value - value !== 0) found = lostPrimitive(value, kind);
  if (found !== undefined) throw refused(found, what, trail);
}

function refused(found, what, trail) {
  const where = path(trail);
  return fault('NotSerializable', `${what} ${where === '' ? 'is' : 'holds'} ${found.what}${where === '' ? '' : ` at ${where}`}: ${found.remedy}`);
}

// The engine counts what is longer, for which it copies it, unless it is too long for that.
const COUNTED_UNITS = 256, COPIED_UNITS = 4194304;

// Each half of a pair counts two bytes, also one that stands alone.
function utf8Length(string) {
  const end = string.length;
  const measured = end > COUNTED_UNITS && end < COPIED_UNITS && isWellFormed(string) ? measure(string) : undefined;
  if (measured !== undefined) return measured;
  let size = end, all = 0;
  for (let i = 0; i < end; i++) all |= charCodeAt(string, i);
  if (all <= 0x7f) return size;
  for (let i = 0; i < end; i++) {
    const unit = charCodeAt(string, i);
    // A surrogate is half of a four-byte character: two bytes each.
    if (unit > 0x7f) size += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
  }
  return size;
}

// Whether V8 threw it in a function that the prelude called, and not the script.
function isOfEngine(error) {
  const place = placeOf(error);
  return place !== undefined && place.ours;
}

function serialise(value, what) {
  const cap = job.limits.payload_bytes;
  let json;
  try {
    if (!job.lenient) refuseLost(value, what);
    json = behindToJSON ? stringify(value, watching(what)) : stringify(value);
  } catch (error) {
    if (mapGet(faults, error) === 'PayloadTooLarge')
      throw fault('PayloadTooLarge', `${what} has more than ${cap} bytes as JSON, the cap is ${cap}`);
    // What a toJSON gave is seen by the engine alone.
    if (instanceOf(RealTypeError, error) && isOfEngine(error))
      throw fault('NotSerializable', `${what} has no JSON form: ${textMember(error, 'message') || ''}`);
    if (instanceOf(RealRangeError, error) && textMember(error, 'message') === 'Invalid string length' && isOfEngine(error))
      throw fault('PayloadTooLarge', `${what} is larger than the cap of ${cap} bytes`);
    throw error;
  }
  if (json === undefined) throw fault('NotSerializable', `${what} is undefined after its toJSON: it has no JSON form`);
  if (json.length * 3 > cap) {
    const size = json.length > 4 * cap ? json.length : utf8Length(json);
    if (size > cap) throw fault('PayloadTooLarge', `${what} has ${size} bytes as JSON, the cap is ${cap}`);
  }
  return json;
}
