// Time, chance and what depends on the machine.
function WorkflowDate(...values) {
  if (new.target === undefined) return dateToString(new RealDate(time));
  return construct(RealDate, values.length === 0 ? [time] : values, new.target);
}
const dateToString = uncurry(RealDate.prototype.toString);
WorkflowDate.prototype = RealDate.prototype;
freeze(WorkflowDate, 'prototype');
defineProperty(WorkflowDate, 'name', { __proto__: null, value: 'Date' });
defineProperty(WorkflowDate, 'length', { __proto__: null, value: 7 });
hide(WorkflowDate, 'now', native(function now() { return time; }));
hide(WorkflowDate, 'parse', RealDate.parse);
hide(WorkflowDate, 'UTC', RealDate.UTC);
hide(RealDate.prototype, 'constructor', WorkflowDate);
hide(global, 'Date', native(WorkflowDate, 'Date'));

// Intl formats the real time where it is given none.
const DateTimeFormat = Intl.DateTimeFormat.prototype;
const formatGetter = uncurry(getOwnPropertyDescriptor(DateTimeFormat, 'format').get);
const formatToParts = uncurry(DateTimeFormat.formatToParts);
defineProperty(DateTimeFormat, 'format', {
  __proto__: null, configurable: true,
  get: native(function format() {
    const bound = formatGetter(this);
    return native((date) => bound(date === undefined ? time : date), '');
  }, 'get format'),
});
hide(DateTimeFormat, 'formatToParts', native({ formatToParts(date) { return formatToParts(this, date === undefined ? time : date); } }.formatToParts));

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
const chance = native(function random() {
  return ((nextWord() >>> 5) * 67108864 + (nextWord() >>> 6)) / 9007199254740992;
});
hide(Math, 'random', chance);
const randomState = () => ({ __proto__: null, a, b, c, counter });
const setRandom = (state) => { ({ a, b, c, counter } = state); };
// The state of a stream of its own.
function seededRandom(low, high) {
  const now = randomState();
  seedRandom(low, high);
  const seeded = randomState();
  setRandom(now);
  return seeded;
}

for (const name of ['WebAssembly', 'SharedArrayBuffer', 'Atomics', 'WeakRef', 'FinalizationRegistry', 'Temporal']) delete global[name];
delete JSON.rawJSON;
delete JSON.isRawJSON;
delete RealDate.prototype.toTemporalInstant;
