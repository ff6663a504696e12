// The globals of a script, beside what the language has. A script may declare each of these names for itself.

const globals = { transition, finish, sleep, fetchSync, id, now, log: print('log'), print: print('print') };
const names = ownKeys(globals);
for (let i = 0; i < names.length; i++) hide(global, names[i], native(globals[names[i]], names[i]));

// Of a later version.
const later = ['getSecret', 'getSecrets', 'setVariable', 'getVariable', 'execSubflow', 'generateAction', 'execService', 'waitForEvent'];
// Of durable/, which is there for scripts that name them.
const unnamed = ['step', 'fetch', 'uuid'];
// What no version can have, and what to use instead. They are functions, so that `typeof` finds what bundles expect.
const never = [
  ['setTimeout', 'use step.sleep(name, duration)'], ['setInterval', 'use a loop with step.sleep(name, duration)'], ['setImmediate', 'use queueMicrotask(callback)'],
  ['XMLHttpRequest', 'use fetch(url, config)'], ['WebSocket', 'a script has no network'], ['EventSource', 'a script has no network'],
  ['Worker', 'a script runs alone'],
];
// What bundles look for to find out where they run: not there, and named in the error of who uses it all the same.
const missing = {
  __proto__: null,
  require: 'bundle the module into the script, for example with esbuild --bundle --format=iife --global-name=flow',
  process: 'a script has no process; its input is the argument of main',
  Buffer: 'use Uint8Array, TextEncoder, atob and btoa',
  window: 'use globalThis', document: 'a script has no page', navigator: 'a script has no browser',
  performance: 'use Date.now(), which shows the time of the last recorded call',
  importScripts: 'bundle the module into the script', WebAssembly: 'it is not there in workflow scripts',
  SharedArrayBuffer: 'a script runs alone', Atomics: 'a script runs alone', WeakRef: 'when memory is freed depends on the machine',
  FinalizationRegistry: 'when memory is freed depends on the machine', Temporal: 'use Date, Intl and now()',
  clearImmediate: 'use queueMicrotask(callback)', requestAnimationFrame: 'use sleep(seconds)', alert: 'use log()',
  localStorage: 'pass what is to be kept to transition', Deno: 'a script runs in V8 alone', Bun: 'a script runs in V8 alone',
  Headers: 'use an object or a Map', Request: 'use fetch(url, config)', Response: 'use what fetch gives', FormData: 'use URLSearchParams',
  Blob: 'use Uint8Array or a string', File: 'use Uint8Array or a string', ReadableStream: 'use an array or an async generator',
  WritableStream: 'use an array', TransformStream: 'use an async generator', Event: 'call a function', CustomEvent: 'call a function',
  EventTarget: 'call a function', MessageChannel: 'a script runs alone', BroadcastChannel: 'a script runs alone',
  DOMException: 'use Error', sessionStorage: 'pass what is to be kept to transition', location: 'a script has no page',
  define: 'bundle with --format=iife, AMD modules have no loader here', System: 'bundle with --format=iife, it has no loader here',
  __dirname: 'a script has no files', __filename: 'a script has no files',
};

function missingGlobal(error, message) {
  if (message === 'Not supported') return ': import() is not available in workflow scripts, bundle the module into the script';
  const end = indexOf(message, ' is not defined', 0);
  if (end < 0 || end + 15 !== message.length || textMember(error, 'name') !== 'ReferenceError') return '';
  const name = slice(message, 0, end);
  return name in missing ? `: ${missing[name]}` : '';
}

const refusing = (name, hint) => native({ [name](...values) { throw notAvailable(hint); } }[name]);
for (const name of later) hide(global, name, refusing(name, `${name} is not available in this version`));
for (const name of unnamed) hide(global, name, refusing(name, `${name} is not available: the script has to name it`));
for (const [name, remedy] of never) {
  // A function that can also be called with new.
  const refused = function (...values) { throw notAvailable(`${name} is not available in workflow scripts: ${remedy}`); };
  defineProperty(refused, 'name', { __proto__: null, value: name });
  hide(global, name, native(refused, name));
}
for (const name of ['clearTimeout', 'clearInterval']) hide(global, name, native({ [name]() {} }[name]));
const crypto = {};
for (const name of ['getRandomValues', 'randomUUID'])
  hide(crypto, name, refusing(name, `crypto.${name} is not available in workflow scripts: use Math.random(), which is seeded by the run, and id()`));
hide(crypto, 'subtle', undefined);
hide(global, 'crypto', crypto);
hide(global, 'eval', native({ eval() { throw new RealEvalError('eval is not available in workflow scripts'); } }.eval));

// The global object's older names.
hide(global, 'self', global);
hide(global, 'global', global);

hide(global, 'queueMicrotask', native(function queueMicrotask(callback) {
  if (typeof callback !== 'function') throw new RealTypeError(`queueMicrotask: expected a function, got ${describe(callback)}`);
  // What the callback throws is a rejection that nobody awaits.
  (async () => { await undefined; apply(callback, undefined, []); })();
}));

// Made at the first use: most scripts need none of them.
function lazy(names, make) {
  let made;
  const all = () => {
    if (made !== undefined) return made;
    made = make();
    for (let i = 0; i < names.length; i++) {
      const value = made[names[i]];
      native(value, names[i]);
      nativeMembers(value);
      if (value.prototype !== undefined) nativeMembers(value.prototype);
    }
    return made;
  };
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    const take = { get [name]() {
      const value = all()[name];
      // A script may have frozen the global object.
      tryDefineProperty(global, name, { __proto__: null, value, writable: true, enumerable: false, configurable: true });
      return value;
    } };
    const accessor = getOwnPropertyDescriptor(take, name);
    defineProperty(global, name, {
      __proto__: null, configurable: true, enumerable: false, get: native(accessor.get, name),
      set: native(function (value) { hide(global, name, value); }, name),
    });
  }
  return all;
}
lazy(['console'], makeConsole);
lazy(BUFFERS, makeBuffers);

// What the files in web and durable need of all this.
function shared() {
  return {
    __proto__: null,
    IteratorPrototype, RealDate, RealError, RealMap, RealPromise, RealRangeError, RealTypeError,
    RegExpConstructor, WorkflowError, apply, bareList, ceil, chance, charCodeAt, construct, dateValue, defineProperty, describe, emptied,
    floor, fromCharCode, global, hide, indexOf, instanceOf, isArray, isBuffer, isError, isObject, iteratorSymbol,
    keys, lazy, mapHas, mapLookup, mapSize, member, named, padStart, pairForEach, pairSet, put, setForEach,
    setSize, sized, slice, textMember, tryGetPrototypeOf, typedTag, uncurry, utf8Length,
    ASK, TELL, generatorKind, isInteger, looksLikeError, mapGet, mapSet, native, nativeMembers, notAvailable, numberOf: number, ownKeys,
    pairDelete, pairSize: mapSize, parse, placeAbove, placeOf, printable, received, requests, seededRandom, send, serialise, setPrototypeOf, stacks, stringify, switchTo,
    takeRejected, text, tryDefineProperty,
    infinity: 1 / 0,
    asking: mayAsk,
    owner: () => owner,
    job: () => job,
    now_: () => time,
    entryWaits: () => waits,
    entryResult: () => value,
    register(made) { durable = made; },
  };
}
