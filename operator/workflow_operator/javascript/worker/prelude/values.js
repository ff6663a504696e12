// The state of the run, faults, and values as JSON.
let job;
let time = 0;
let lines = 0;
let outcome;
const faults = new WeakMap(); // errors made here -> the kind that ends the run as such

function named(error, name) {
  defineProperty(error, 'name', { __proto__: null, value: name, writable: true, configurable: true });
  return error;
}

function fault(kind, message) {
  const error = named(new RealError(message), kind);
  mapSet(faults, error, kind);
  return error;
}

function utf8Length(string) {
  let size = string.length;
  for (let i = 0, end = string.length; i < end; i++) {
    const unit = charCodeAt(string, i);
    // A surrogate is half of a four-byte character: two bytes each.
    if (unit > 0x7f) size += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
  }
  return size;
}

function serialise(value, what) {
  let json;
  try {
    json = stringify(value);
  } catch (error) {
    const message = instanceOf(RealTypeError, error) || instanceOf(RealRangeError, error) ? text(error.message) : '';
    if (startsWith(message, 'Converting circular structure')) throw fault('NotSerializable', `${what} holds a cycle. ${message}`);
    if (startsWith(message, 'Do not know how to serialize a BigInt'))
      throw fault('NotSerializable', `${what} holds a BigInt, which has no JSON form: convert it with Number() or String()`);
    if (startsWith(message, 'Invalid string length'))
      throw fault('PayloadTooLarge', `${what} is larger than the cap of ${job.limits.payload_bytes} bytes`);
    throw error;
  }
  if (json === undefined) throw fault('NotSerializable', `${what} is a ${typeof value}, which has no JSON form`);
  const cap = job.limits.payload_bytes;
  if (json.length * 3 > cap) {
    const size = json.length > cap ? json.length : utf8Length(json);
    if (size > cap) throw fault('PayloadTooLarge', `${what} has ${size} bytes as JSON, the cap is ${cap}`);
  }
  return json;
}
