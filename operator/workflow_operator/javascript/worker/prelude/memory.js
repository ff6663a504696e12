// Array buffers, which V8's own limit of the heap does not see. Bytes asked for are counted, and never given back: when V8
// frees them depends on the machine. So the same script meets the cap at the same place in each execution.
// What is small lies in the heap.
const IN_HEAP_BYTES = 64;
let asked = 0;
let doom; // The fault that ends the run, whatever the script makes of it.

function ends(error) {
  if (doom === undefined) doom = error;
  return doom;
}

const tooMuch = () =>
  ends(fault('MemoryLimit', `the script asked for array buffers of more than ${job.limits.memory_bytes} bytes in all (what it no longer uses counts too)`));

// Before the engine is asked for as much. What it then makes is what counts: arguments may change each time they are read.
function foresee(bytes) {
  if (bytes > IN_HEAP_BYTES && job !== undefined && asked + bytes > job.limits.memory_bytes) throw tooMuch();
}

const countedBuffers = new WeakMap();

// Counts the buffer of what was made, however it came to be made, once.
function account(made) {
  const isView = typedTag(made) !== undefined;
  if (isView && viewBytes(made) <= IN_HEAP_BYTES) return made; // It may have no buffer yet.
  const buffer = isView ? bufferOf(made) : made;
  if (job === undefined || mapHas(countedBuffers, buffer)) return made;
  mapSet(countedBuffers, buffer, true);
  const bytes = mostBytes(buffer);
  if (bytes > IN_HEAP_BYTES) asked += bytes;
  if (asked > job.limits.memory_bytes) throw tooMuch();
  return made;
}

// How much memory is left depends on what ran before: a script does not see where it ends.
function making(make, real, first, second) {
  try {
    return make(real, first, second);
  } catch (error) {
    if (doom === undefined && instanceOf(RealRangeError, error) && isNoMemory(textMember(error, 'message')) && isOfEngine(error)) throw tooMuch();
    throw error;
  }
}
const isNoMemory = (message) => message === 'Array buffer allocation failed' || message === 'ArrayBuffer.prototype.resize: Out of memory';

function whole(value) {
  const given = +value;
  return given !== given ? 0 : given;
}

// A built-in function that gives something with a buffer; `bytes` foresees how much by its arguments.
function counted(owner, name, bytes) {
  const descriptor = getOwnPropertyDescriptor(owner, name);
  if (descriptor === undefined) return;
  const real = descriptor.value;
  const wrapped = { [name](...values) {
    foresee(bytes(this, values));
    const made = making(apply, real, this, values);
    return isObject(made) ? account(made) : made;
  } }[name];
  defineProperty(wrapped, 'length', { __proto__: null, value: real.length });
  hide(owner, name, native(wrapped));
}

function replaceConstructor(real, wrapped) {
  const { name, prototype } = real;
  wrapped.prototype = prototype;
  freeze(wrapped, 'prototype');
  defineProperty(wrapped, 'name', { __proto__: null, value: name });
  defineProperty(wrapped, 'length', { __proto__: null, value: real.length });
  const names = ownKeys(real);
  for (let i = 0; i < names.length; i++) {
    if (!(names[i] in NOT_COPIED)) defineProperty(wrapped, names[i], setPrototypeOf(getOwnPropertyDescriptor(real, names[i]), null));
  }
  setPrototypeOf(wrapped, tryGetPrototypeOf(real));
  hide(prototype, 'constructor', wrapped);
  return wrapped;
}
const NOT_COPIED = { __proto__: null, name: 1, length: 1, prototype: 1 };

const isBuffer = (value) => {
  try {
    bufferLength(value);
    return true;
  } catch {
    return false;
  }
};

const RealArrayBuffer = ArrayBuffer;
const viewBytes = getter(TypedArray.prototype, 'byteLength');
const bufferOf = getter(TypedArray.prototype, 'buffer');
const maxBytes = getter(ArrayBuffer.prototype, 'maxByteLength');
const mostBytes = (buffer) => (isBuffer(buffer) ? maxBytes(buffer) : 0);
const BUFFERS = ['ArrayBuffer', 'Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array', 'Int32Array', 'Uint32Array',
  'Float16Array', 'Float32Array', 'Float64Array', 'BigInt64Array', 'BigUint64Array'];
const RealArrays = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float16Array, Float32Array,
  Float64Array, BigInt64Array, BigUint64Array];
const elementBytes = { __proto__: null, Int8Array: 1, Uint8Array: 1, Uint8ClampedArray: 1, Int16Array: 2, Uint16Array: 2, Float16Array: 2,
  Int32Array: 4, Uint32Array: 4, Float32Array: 4 };
const fillArray = uncurry(TypedArray.prototype.set);

// The elements of an iterable or of what has a length, as a list of our own.
function elementsOf(source, size) {
  const list = [];
  const iterate = source[iteratorSymbol];
  if (iterate !== undefined && iterate !== null) {
    const iterator = apply(iterate, source, []);
    const next = iterator.next;
    for (let i = 0; ; i++) {
      const step = apply(next, iterator, []);
      if (!isObject(step)) throw new RealTypeError('Iterator result is not an object');
      if (step.done) return list;
      put(list, i, step.value);
    }
  }
  const length = floor(whole(source.length));
  foresee(length * size);
  for (let i = 0; i < length; i++) put(list, i, source[i]);
  return list;
}

function countedArray(Real) {
  const size = Real.BYTES_PER_ELEMENT;
  return replaceConstructor(Real, function TypedArray_(source, offset, length) {
    if (new.target === undefined) throw new RealTypeError(`Constructor ${Real.name} requires 'new'`);
    if (!isObject(source)) {
      const count = whole(source);
      foresee(count * size);
      return account(making(construct, Real, [count], new.target));
    }
    if (isBuffer(source)) return construct(Real, [source, offset, length], new.target);
    if (typedTag(source) !== undefined) {
      foresee(typedLength(source) * size);
      // From one of numbers to one of BigInts, or the other way: the engine says what is wrong.
      return account(making(construct, Real, [source], new.target));
    }
    const elements = elementsOf(source, size);
    foresee(elements.length * size);
    const array = account(making(construct, Real, [elements.length], new.target));
    fillArray(array, elements);
    return array;
  });
}
const unforeseen = () => 0;
const transferred = (buffer, values) => (isBuffer(buffer) && values.length > 0 ? whole(values[0]) : 0);
// These make their result without a constructor that the script could have replaced.
const sameSize = (array) => (typedTag(array) === undefined ? 0 : typedLength(array) * (elementBytes[typedTag(array)] || 8));
const ofText = (self, values) => (typeof values[0] === 'string' ? values[0].length : 0);

// Made when the script names one of them for the first time: until then it cannot have a buffer.
function makeBuffers() {
  const made = { __proto__: null };
  made.ArrayBuffer = replaceConstructor(RealArrayBuffer, function ArrayBuffer(length, options) {
    if (new.target === undefined) throw new RealTypeError("Constructor ArrayBuffer requires 'new'");
    const bytes = whole(length);
    const given = isObject(options) ? options.maxByteLength : undefined;
    const most = given === undefined ? undefined : +given;
    foresee(most === undefined ? bytes : whole(most));
    return account(making(construct, RealArrayBuffer, most === undefined ? [bytes] : [bytes, { __proto__: null, maxByteLength: most }], new.target));
  });
  counted(RealArrayBuffer.prototype, 'slice', unforeseen);
  counted(RealArrayBuffer.prototype, 'resize', unforeseen);
  counted(RealArrayBuffer.prototype, 'transfer', transferred);
  counted(RealArrayBuffer.prototype, 'transferToFixedLength', transferred);
  for (let i = 0; i < RealArrays.length; i++) made[BUFFERS[i + 1]] = countedArray(RealArrays[i]);
  counted(TypedArray.prototype, 'slice', unforeseen);
  counted(TypedArray.prototype, 'map', unforeseen);
  counted(TypedArray.prototype, 'filter', unforeseen);
  counted(TypedArray.prototype, 'toReversed', sameSize);
  counted(TypedArray.prototype, 'toSorted', sameSize);
  counted(TypedArray.prototype, 'with', sameSize);
  counted(made.Uint8Array, 'fromBase64', ofText);
  counted(made.Uint8Array, 'fromHex', ofText);
  return made;
}
