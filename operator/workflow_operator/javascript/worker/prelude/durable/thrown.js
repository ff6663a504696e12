// Errors across the history: told with what JSON holds of them, and made anew from what is recorded. The same the first
// time as in a replay.

class NonRetryableError extends WorkflowError {
  constructor(message, options) {
    super(message);
    this.name = 'NonRetryableError';
    if (isObject(options)) {
      if (typeof options.name === 'string') this.name = options.name;
      if (options.data !== undefined) this.data = options.data;
    }
  }
}
class RetryableError extends WorkflowError {
  constructor(message, options) {
    super(message);
    this.name = 'RetryableError';
    if (isObject(options)) {
      if (options.retryAfter !== undefined) this.retryAfter = milliseconds(options.retryAfter, 'RetryableError: retryAfter');
      if (options.data !== undefined) this.data = options.data;
    }
  }
}

const KNOWN = { __proto__: null, NonRetryableError, RetryableError, TypeError: RealTypeError, RangeError: RealRangeError, SyntaxError, ReferenceError,
  EvalError, URIError, Error: WorkflowError };
const FINAL = { __proto__: null };
for (const name of ['NonRetryableError', 'NestedCall', 'NotSerializable', 'PayloadTooLarge', 'NotAvailable', 'AbortError', 'CancelledError', 'Interrupted',
  'ReferenceError']) FINAL[name] = true;
const MOST_DETAILS = 16384; // units of the fields and causes of one error; javascript/host/envelope.py takes four bytes for each
const TOLD_APART = { __proto__: null, name: 1, message: 1, stack: 1, cause: 1, errors: 1, step: 1, attempts: 1, retryAfter: 1 };
const DEEPEST_CAUSE = 5;

// The fields of an error that JSON holds, and its causes, as JSON.
function detailsOf(error, depth) {
  let fields = '', cause = '';
  if (!isObject(error)) return '{}';
  try {
    const names = keys(error);
    for (let i = 0; i < names.length && i < 64; i++) {
      if (names[i] in TOLD_APART) continue;
      let json;
      try { json = serialise(error[names[i]], 'a field'); } catch { continue; }
      if (fields.length + json.length + names[i].length < MOST_DETAILS) fields += `${fields === '' ? '' : ','}${stringify(names[i])}:${json}`;
    }
  } catch { /* A proxy may have no names to tell. */ }
  const behind = member(error, 'cause');
  if (behind !== undefined && depth < DEEPEST_CAUSE) {
    const { name, message } = headsOf(behind);
    cause = `,"cause":{"name":${stringify(name)},"message":${stringify(message)},"details":${detailsOf(behind, depth + 1)}}`;
  }
  return `{"fields":{${fields}}${cause}}`;
}

function headsOf(error) {
  if (!looksLikeError(error)) return { __proto__: null, name: 'Error', message: slice(printable(error), 0, 2048) };
  return { __proto__: null, name: slice(textMember(error, 'name') || 'Error', 0, 256), message: slice(textMember(error, 'message') || '', 0, 8192) };
}

// The members of a `result` message that tell a failure.
function failureOf(error) {
  const { name, message } = headsOf(error);
  const place = placeOf(error);
  let details = detailsOf(error, 0);
  if (details.length > MOST_DETAILS) details = '{"fields":{}}';
  const wait = isObject(error) ? member(error, 'retryAfter') : undefined;
  const final = name in FINAL || (isObject(error) && (instanceOf(NonRetryableError, error) || member(error, 'retryable') === false));
  return `"error":{"name":${stringify(name)},"message":${stringify(message)},"line":${place === undefined ? null : place.line},` +
    `"column":${place === undefined ? null : place.column},"stack":${stringify(place === undefined ? '' : slice(place.frames, 1, 2048))}},` +
    `"details":${details},"final":${final}` + (typeof wait === 'number' && wait >= 0 && wait - wait === 0 ? `,"retryAfter":${ceil(wait)}` : '');
}

// The error that is recorded.
function thrownAgain(given) {
  const error = construct(KNOWN[given.name] || WorkflowError, [given.message]);
  named(error, given.name);
  const frames = given.stack === '' || given.stack === undefined ? '' : `\n${given.stack}`;
  const { line = null, column = null } = given;
  hide(error, 'stack', `${given.name}: ${given.message}${frames}`);
  mapSet(stacks, error, { __proto__: null, line, column, frames, ours: false });
  const details = given.details;
  if (isObject(details)) {
    setPrototypeOf(details, null);
    const fields = member(details, 'fields');
    const names = isObject(fields) ? keys(fields) : [];
    for (let i = 0; i < names.length; i++)
      tryDefineProperty(error, names[i], { __proto__: null, value: fields[names[i]], writable: true, enumerable: true, configurable: true });
    if (isObject(details.cause)) hide(error, 'cause', thrownAgain(setPrototypeOf(details.cause, null)));
  }
  if (given.step !== undefined) {
    put(error, 'step', given.step);
    put(error, 'attempts', given.attempts);
  }
  return error;
}
