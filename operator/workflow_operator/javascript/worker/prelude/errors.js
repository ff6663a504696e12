// Errors: which are ours, where they were made, and how they are told.

const SCRIPT = 'workflow.js'; // wire.SCRIPT_NAME
const PRELUDE = 'prelude.js'; // wire.PRELUDE_NAME
const SHOWN_FRAMES = 10;
// Of all frames, the prelude's own included: enough that SHOWN_FRAMES of the script are among them.
const CAPTURED_FRAMES = 50;
const RealAggregateError = AggregateError;
const RealSuppressedError = SuppressedError;
const faults = new WeakMap(); // errors made here -> the kind that ends the run as such
const stacks = new WeakMap(); // errors -> {line, column, frames, ours}, once their stack was asked for
let locating;
let lastStack; // the error whose stack was asked for last

function named(error, name) {
  defineProperty(error, 'name', { __proto__: null, value: name, writable: true, configurable: true });
  return error;
}

function fault(kind, message) {
  const error = named(new RealError(message), kind);
  mapSet(faults, error, kind);
  return error;
}

const notAvailable = (message) => named(new RealError(message), 'NotAvailable');

function describe(value) {
  if (value === null) return 'null';
  if (value === undefined) return 'undefined';
  if (isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a value of type ${typeof value}`;
}

// --- stacks

// V8 calls it when a stack is read for the first time. Only the script's frames are told: the same in each release.
function prepareStackTrace(error, sites) {
  let line = null, column = null, frames = '', count = 0, ours;
  for (let i = 0; i < sites.length && count < SHOWN_FRAMES; i++) {
    const site = sites[i];
    const file = site.getScriptNameOrSourceURL();
    if (ours === undefined && (file === SCRIPT || file === PRELUDE)) ours = file === PRELUDE;
    if (file !== SCRIPT) continue;
    if (count++ === 0) { line = site.getLineNumber(); column = site.getColumnNumber(); }
    if (locating) break;
    frames += `\n    at ${site.toString()}`;
  }
  if (locating) { locating.line = line; locating.column = column; return ''; }
  lastStack = error;
  mapSet(stacks, error, { __proto__: null, line, column, frames, ours: ours === true });
  let head = '<error>';
  try { head = errorToString(error); } catch { /* The script's own getters may throw. */ }
  return head + frames;
}
defineProperty(RealError, 'prepareStackTrace', { __proto__: null, value: prepareStackTrace, writable: false, configurable: false });
RealError.stackTraceLimit = CAPTURED_FRAMES;

// Where the script is now: its innermost frame above `fn`.
function placeAbove(fn) {
  const place = { __proto__: null, line: null, column: null };
  // A few more than one: it may be called by a built-in function.
  RealError.stackTraceLimit = 6;
  locating = place;
  try {
    captureStackTrace(place, fn);
    place.stack;
  } finally {
    locating = undefined;
    RealError.stackTraceLimit = CAPTURED_FRAMES;
  }
  return place;
}

// The script's Error: what it sets there has no effect on the stacks that are needed here.
const WorkflowError = native(function Error(...values) {
  return construct(RealError, values, new.target === undefined ? WorkflowError : new.target);
});
WorkflowError.prototype = RealError.prototype;
freeze(WorkflowError, 'prototype');
defineProperty(WorkflowError, 'length', { __proto__: null, value: 1 });
hide(WorkflowError, 'isError', isError);
hide(WorkflowError, 'captureStackTrace', native(function captureStackTrace_(object, above) {
  captureStackTrace(object, typeof above === 'function' ? above : WorkflowError.captureStackTrace);
}, 'captureStackTrace'));
for (const [name, value] of [['stackTraceLimit', SHOWN_FRAMES], ['prepareStackTrace', undefined]]) {
  defineProperty(WorkflowError, name, {
    __proto__: null, configurable: true, get: native(() => value, name), set: native(function (given) {}, name),
  });
}
hide(RealError.prototype, 'constructor', WorkflowError);
hide(global, 'Error', WorkflowError);
for (const kind of [AggregateError, EvalError, RangeError, ReferenceError, SuppressedError, SyntaxError, TypeError, URIError])
  setPrototypeOf(kind, WorkflowError);

// --- how a failure is told

const isObject = (value) => (typeof value === 'object' && value !== null) || typeof value === 'function';

function member(value, name) {
  try {
    return value[name];
  } catch {
    return undefined;
  }
}

function textMember(value, name) {
  const found = member(value, name);
  return typeof found === 'string' ? found : undefined;
}

// Line, column and frames of what was thrown, as far as they are known.
function placeOf(error) {
  if (!isObject(error)) return undefined;
  member(error, 'stack');
  return mapGet(stacks, error);
}

const at = (place) =>
  place === undefined || place.line === null ? '' : ` (line ${place.line}, column ${place.column})`;

const looksLikeError = (value) => isObject(value) && (isError(value) || textMember(value, 'message') !== undefined);

function headOf(error) {
  if (!looksLikeError(error)) return inspect(error);
  const name = slice(textMember(error, 'name') || 'Error', 0, 256), message = slice(textMember(error, 'message') || '', 0, 2048);
  return message === '' ? name : `${name}: ${message}`;
}

const OWN = { __proto__: null, name: 1, message: 1, stack: 1, cause: 1, errors: 1 };
const MOST_CAUSES = 16;
const LONGEST_CHAIN = 1000;
const CAUSE_UNITS = 4096;

function fieldsOf(error) {
  let lines = '';
  try {
    const names = keys(error);
    for (let i = 0; i < names.length && i < 32; i++) {
      if (names[i] in OWN) continue;
      lines += `\n${slice(names[i], 0, 128)}: ${slice(inspect(member(error, names[i])), 0, 512)}`;
    }
  } catch { /* A proxy may have no names to tell. */ }
  return lines;
}

// What stands behind an error: its own fields, the errors of an aggregate and the chain of causes, a line each.
function behind(error) {
  let lines = '', budget = MOST_CAUSES;
  const pending = bareList(), told = bareList();
  told[0] = error;
  const add = (how, value) => { pending[pending.length] = { __proto__: null, how, value }; };
  function look(value) {
    lines += fieldsOf(value);
    if (instanceOf(RealSuppressedError, value)) {
      add('error', member(value, 'error'));
      add('suppressed', member(value, 'suppressed'));
    }
    if (instanceOf(RealAggregateError, value)) {
      const errors = member(value, 'errors');
      for (let i = 0; isArray(errors) && i < errors.length && i < MOST_CAUSES; i++) add(`errors[${i}]`, member(errors, i));
      if (isArray(errors) && errors.length > MOST_CAUSES) lines += `\nerrors: ${errors.length} in all`;
    }
    if (member(value, 'cause') !== undefined) add('caused by', member(value, 'cause'));
  }
  if (!looksLikeError(error)) return '';
  look(error);
  let i = 0;
  for (; i < pending.length && budget-- > 0 && lines.length < CAUSE_UNITS; i++) {
    const { how, value } = pending[i];
    let known = false;
    for (let k = 0; k < told.length; k++) known = known || told[k] === value;
    lines += how === 'caused by' ? `\n${how} ${headOf(value)}${at(placeOf(value))}` : `\n${how}: ${headOf(value)}${at(placeOf(value))}`;
    if (known || !looksLikeError(value)) continue;
    told[told.length] = value;
    look(value);
  }
  if (i === pending.length && lines.length <= CAUSE_UNITS) return slice(lines, 1);
  // The first cause of all is what the reader looks for.
  const root = rootOf(error);
  const end = root === error ? '\n...' : `\n... and at last by ${slice(headOf(root), 0, 1024)}${at(placeOf(root))}`;
  return slice(lines, 1, CAUSE_UNITS - end.length) + end;
}

function rootOf(error) {
  let root = error;
  for (let i = 0; i < LONGEST_CHAIN && looksLikeError(root) && member(root, 'cause') !== undefined; i++) root = member(root, 'cause');
  return root;
}

const joinLines = (first, second) => (first === '' || second === '' ? first + second : `${first}\n${second}`);

// An aggregate that a built-in function made has no frame: the errors in it have.
function nearestPlace(error) {
  let place = placeOf(error);
  for (let i = 0; i < MOST_CAUSES && isObject(error) && (place === undefined || place.line === null); i++) {
    const errors = member(error, 'errors');
    error = isArray(errors) && errors.length > 0 ? member(errors, 0) : member(error, 'cause');
    place = placeOf(error);
  }
  return place;
}

// A `failed` message. `place` is where the value was thrown, for one that does not know it itself.
function failed(error, place, hint = '', also = '') {
  let name = 'Error', message, kind = 'Thrown', stack = '';
  const own = isObject(error) ? nearestPlace(error) : undefined;
  if (isObject(error)) {
    name = textMember(error, 'name') || name;
    message = textMember(error, 'message');
    kind = mapGet(faults, error) || kind;
    if (own !== undefined) stack = slice(own.frames, 1);
  }
  if (message === undefined) message = printable(error);
  else if (isError(error)) message += missingGlobal(error, message);
  if (own !== undefined && own.line !== null) place = own;
  const line = place === undefined ? null : place.line, column = place === undefined ? null : place.column;
  return `{"kind":"failed","error":"${kind}","name":${stringify(slice(name, 0, 256))},` +
    `"message":${stringify(slice(message, 0, 8192 - hint.length) + hint)},"line":${line},"column":${column},` +
    `"stack":${stringify(slice(stack, 0, 16384))},"cause":${stringify(slice(joinLines(behind(error), also), 0, CAUSE_UNITS))}}`;
}
