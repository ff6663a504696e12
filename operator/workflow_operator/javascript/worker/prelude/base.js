// Taken before the script runs: it may change every object that it can reach, so what is needed later is called
// without a property look-up, and property descriptors have no prototype.
let bridge;
const global = globalThis;

const { apply, construct, ownKeys, defineProperty: tryDefineProperty } = Reflect;
const { defineProperty, setPrototypeOf, getOwnPropertyDescriptor } = Object;
const { parse, stringify } = JSON;
const { isArray } = Array;
const { isInteger } = Number;
const { floor } = Math;
const { fromCharCode } = String;
const uncurry = Function.prototype.call.bind.bind(Function.prototype.call);
const charCodeAt = uncurry(String.prototype.charCodeAt);
const startsWith = uncurry(String.prototype.startsWith);
const slice = uncurry(String.prototype.slice);
const mapGet = uncurry(WeakMap.prototype.get);
const mapSet = uncurry(WeakMap.prototype.set);
const instanceOf = uncurry(Function.prototype[Symbol.hasInstance]);
const text = String;
const { toPrimitive } = Symbol;
const objectPrototype = Object.prototype;
const RealDate = Date;
const RealError = Error;
const RealEvalError = EvalError;
const RealRangeError = RangeError;
const RealTypeError = TypeError;
const freeze = (object, name) =>
  defineProperty(object, name, { __proto__: null, writable: false, configurable: false });

// A hook there would see this function's frames; the limit is what gives host calls their line.
defineProperty(Error, 'prepareStackTrace', { __proto__: null, value: undefined, writable: true, configurable: true });
freeze(Error, 'prepareStackTrace');
freeze(Error, 'stackTraceLimit');
