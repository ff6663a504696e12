// Taken before the script runs: it may change every object that it can reach, so what is needed later is called
// without a property look-up, and property descriptors have no prototype.
const global = globalThis;

const { apply, construct, ownKeys, defineProperty: tryDefineProperty, getPrototypeOf: tryGetPrototypeOf } = Reflect;
const { defineProperty, setPrototypeOf, getOwnPropertyDescriptor, keys } = Object;
const { parse, stringify } = JSON;
const { isArray } = Array;
const { isInteger, isFinite: isFiniteNumber } = Number;
const { floor, ceil } = Math;
const { fromCharCode } = String;
const uncurry = Function.prototype.call.bind.bind(Function.prototype.call);
const charCodeAt = uncurry(String.prototype.charCodeAt);
const startsWith = uncurry(String.prototype.startsWith);
const indexOf = uncurry(String.prototype.indexOf);
const slice = uncurry(String.prototype.slice);
const isWellFormed = uncurry(String.prototype.isWellFormed);
const padStart = uncurry(String.prototype.padStart);
const mapGet = uncurry(WeakMap.prototype.get);
const mapHas = uncurry(WeakMap.prototype.has);
const mapSet = uncurry(WeakMap.prototype.set);
const setForEach = uncurry(Set.prototype.forEach);
const pairForEach = uncurry(Map.prototype.forEach);
const pairSet = uncurry(Map.prototype.set);
const pairDelete = uncurry(Map.prototype.delete);
const mapLookup = uncurry(Map.prototype.get);
const instanceOf = uncurry(Function.prototype[Symbol.hasInstance]);
const text = String;
const number = Number;
const readInteger = (value) => RealParseInt(value, 10);
const readFloat = parseFloat;
const { toPrimitive, iterator: iteratorSymbol } = Symbol;
const objectPrototype = Object.prototype;
const RealDate = Date;
const RealError = Error;
const RealEvalError = EvalError;
const RealMap = Map;
const RealRangeError = RangeError;
const RealTypeError = TypeError;
const RealParseInt = parseInt;
const RealPromise = Promise;
const IteratorPrototype = Iterator.prototype;
const GeneratorFunction = tryGetPrototypeOf(function* () {}).constructor;
const AsyncGeneratorFunction = tryGetPrototypeOf(async function* () {}).constructor;
const AsyncIteratorPrototype = tryGetPrototypeOf(AsyncGeneratorFunction.prototype.prototype);
const { isError, captureStackTrace } = RealError;
const errorToString = uncurry(RealError.prototype.toString);
const getter = (object, name) => uncurry(getOwnPropertyDescriptor(object, name).get);
const mapSize = getter(Map.prototype, 'size');
const setSize = getter(Set.prototype, 'size');
const TypedArray = tryGetPrototypeOf(Uint8Array);
const typedTag = getter(TypedArray.prototype, Symbol.toStringTag);
const typedLength = getter(TypedArray.prototype, 'length');
const bufferLength = getter(ArrayBuffer.prototype, 'byteLength');
const numberValue = uncurry(Number.prototype.valueOf);
const dateToJSON = Date.prototype.toJSON;
const dateValue = uncurry(Date.prototype.getTime);

const freeze = (object, name) =>
  defineProperty(object, name, { __proto__: null, writable: false, configurable: false });
// One descriptor for all: to make one costs as much as to define.
const hidden = { __proto__: null, value: undefined, writable: true, enumerable: false, configurable: true };
const hide = (object, name, value) => {
  hidden.value = value;
  defineProperty(object, name, hidden);
};

// A member of its own as an assignment makes one, whatever a prototype holds: a setter, or one that is read-only.
const put = (object, name, value) => defineProperty(object, name, { __proto__: null, value, writable: true, enumerable: true, configurable: true });

// Its elements are its own: no setter on a prototype sees them.
const bareList = () => setPrototypeOf([], null);

// What Function.prototype.toString gives for what is made here: no line of the prelude, so the same in each release.
const natives = new WeakMap();
const sourceOf = uncurry(Function.prototype.toString);
function native(fn, name = fn.name) {
  mapSet(natives, fn, name);
  return fn;
}
hide(Function.prototype, 'toString', native({ toString() {
  const known = typeof this === 'function' ? mapGet(natives, this) : undefined;
  return known === undefined ? sourceOf(this) : `function ${known}() { [native code] }`;
} }.toString));

// All functions that a prototype or a namespace of ours holds.
function nativeMembers(object) {
  const names = ownKeys(object);
  for (let i = 0; i < names.length; i++) {
    // Also later than the script's first line: it may have given all objects a member `get`.
    const { value, get, set } = setPrototypeOf(getOwnPropertyDescriptor(object, names[i]), null);
    if (typeof value === 'function') native(value);
    if (get !== undefined) native(get);
    if (set !== undefined) native(set);
  }
  return object;
}
