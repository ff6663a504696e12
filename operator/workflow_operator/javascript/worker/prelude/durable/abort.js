// AbortController and AbortSignal, as the DOM standard has them, but for signals that a clock would abort.

const signals = new WeakMap(); // AbortSignal -> its state
const making = { __proto__: null }; // what the constructor asks for: nobody else has it

class AbortSignal {
  constructor(key) {
    if (key !== making) throw new RealTypeError('AbortSignal: use new AbortController().signal');
    mapSet(signals, this, { __proto__: null, aborted: false, reason: undefined, listeners: bareList(), inner: new RealMap(), handler: null });
  }
  get aborted() { return stateOf(this).aborted; }
  get reason() { return stateOf(this).reason; }
  get onabort() { return stateOf(this).handler; }
  set onabort(handler) { stateOf(this).handler = typeof handler === 'function' ? handler : null; }
  throwIfAborted() {
    const state = stateOf(this);
    if (state.aborted) throw state.reason;
  }
  addEventListener(type, listener, options) {
    const state = stateOf(this);
    if (text(type) !== 'abort' || listener === null || listener === undefined) return;
    for (let i = 0; i < state.listeners.length; i++) if (state.listeners[i].listener === listener) return;
    const once = isObject(options) && typeof options === 'object' ? !!options.once : false;
    state.listeners[state.listeners.length] = { __proto__: null, listener, once };
  }
  removeEventListener(type, listener) {
    const state = stateOf(this), kept = bareList();
    for (let i = 0; i < state.listeners.length; i++)
      if (text(type) !== 'abort' || state.listeners[i].listener !== listener) kept[kept.length] = state.listeners[i];
    state.listeners = kept;
  }
  static abort(reason) {
    const signal = new AbortSignal(making);
    abortSignal(signal, reason === undefined ? abortError('the signal was aborted') : reason);
    return signal;
  }
  static any(given) {
    const signal = new AbortSignal(making), list = listOf(given, 'AbortSignal.any: the signals');
    for (let i = 0; i < list.length; i++) {
      const state = stateOf(list[i]);
      if (state.aborted) { abortSignal(signal, state.reason); return signal; }
    }
    for (let i = 0; i < list.length; i++) whenAborted(list[i], signal, (reason) => abortSignal(signal, reason));
    return signal;
  }
  static timeout() {
    throw notAvailable('AbortSignal.timeout is not available in workflow scripts: use the timeout of a step, or step.sleep in step.race');
  }
}

const abortError = (message) => named(new RealError(message), 'AbortError');

function stateOf(signal) {
  const state = isObject(signal) ? mapGet(signals, signal) : undefined;
  if (state === undefined) throw new RealTypeError(`expected an AbortSignal, got ${describe(signal)}`);
  return state;
}

// The calls of the engine that hang on a signal come first, so that what a listener looks at is settled.
function whenAborted(signal, key, call) {
  if (signal !== undefined) pairSet(stateOf(signal).inner, key, call);
}

function forget(signal, key) {
  if (signal !== undefined) pairDelete(stateOf(signal).inner, key);
}

// What throws here is of the script, and a rejection that nobody awaits.
const fire = (listener, self, event) => { (async () => { apply(listener, self, [event]); })(); };

function abortSignal(signal, reason) {
  const state = stateOf(signal);
  if (state.aborted) return;
  state.aborted = true;
  state.reason = reason;
  const { inner, listeners } = state;
  state.inner = new RealMap();
  state.listeners = bareList();
  pairForEach(inner, (call) => call(reason));
  const event = { type: 'abort', target: signal, currentTarget: signal };
  if (state.handler !== null) fire(state.handler, signal, event);
  for (let i = 0; i < listeners.length; i++) {
    const { listener, once } = listeners[i];
    if (!once) state.listeners[state.listeners.length] = listeners[i];
    if (typeof listener === 'function') fire(listener, signal, event);
    else if (isObject(listener) && typeof member(listener, 'handleEvent') === 'function') fire(listener.handleEvent, listener, event);
  }
}

const controlled = new WeakMap(); // AbortController -> its signal
class AbortController {
  constructor() { mapSet(controlled, this, new AbortSignal(making)); }
  get signal() {
    const signal = mapGet(controlled, this);
    if (signal === undefined) throw new RealTypeError('expected an AbortController');
    return signal;
  }
  abort(reason) { abortSignal(this.signal, reason === undefined ? abortError('the signal was aborted') : reason); }
}
for (const made of [AbortSignal, AbortController])
  defineProperty(made.prototype, Symbol.toStringTag, { __proto__: null, value: made.name, configurable: true });
