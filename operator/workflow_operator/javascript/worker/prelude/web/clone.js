// structuredClone: a copy of a value with all that JSON would lose, cycles included.
function makeClone() {
  const refuse = (value) =>
    named(new RealError(`structuredClone: ${describe(value)}${typeof value === 'function' ? ` (${value.name})` : ''} cannot be cloned`), 'DataCloneError');
  const ERRORS = { __proto__: null, Error: WorkflowError, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
  const boxed = [[Number, uncurry(Number.prototype.valueOf)], [String, uncurry(String.prototype.valueOf)],
    [Boolean, uncurry(Boolean.prototype.valueOf)], [BigInt, uncurry(BigInt.prototype.valueOf)]];

  function structuredClone(value, options = undefined) {
    if (arguments.length === 0) throw new RealTypeError('structuredClone: expected a value');
    const copies = new RealMap(), moved = new RealMap();
    const transfer = options?.transfer === undefined ? [] : [...options.transfer];
    for (const buffer of transfer) {
      if (!isBuffer(buffer) || pairHas(moved, buffer)) throw refuse(buffer);
      pairSet(moved, buffer, true);
    }

    function keep(original, copy) {
      pairSet(copies, original, copy);
      return copy;
    }

    function copyMembers(original, copy) {
      for (const name of keys(original)) put(copy, name, cloneOf(original[name]));
      return copy;
    }

    function cloneView(view) {
      const buffer = cloneOf(view.buffer);
      const Kind = typedTag(view) === undefined ? DataView : global[typedTag(view)];
      return keep(view, new Kind(buffer, view.byteOffset, Kind === DataView ? view.byteLength : view.length));
    }

    function cloneOf(given) {
      if (typeof given === 'function' || typeof given === 'symbol') throw refuse(given);
      if (typeof given !== 'object' || given === null) return given;
      if (pairHas(copies, given)) return mapLookup(copies, given);
      if (isArray(given)) {
        const copy = keep(given, new Array(given.length));
        return copyMembers(given, copy);
      }
      const size = sized(mapSize, given);
      if (size !== undefined) {
        const copy = keep(given, new RealMap()), list = [];
        pairForEach(given, (item, key) => list.push([key, item]));
        for (const [key, item] of list) pairSet(copy, cloneOf(key), cloneOf(item));
        return copy;
      }
      if (sized(setSize, given) !== undefined) {
        const copy = keep(given, new Set()), list = [];
        setForEach(given, (item) => list.push(item));
        for (const item of list) copy.add(cloneOf(item));
        return copy;
      }
      if (isBuffer(given)) return keep(given, pairHas(moved, given) ? given.transfer() : given.slice(0));
      if (typedTag(given) !== undefined || instanceOf(DataView, given)) return cloneView(given);
      const time = sized(dateValue, given);
      if (time !== undefined) return keep(given, new RealDate(time));
      if (instanceOf(RegExpConstructor, given)) return keep(given, new RegExpConstructor(given.source, given.flags));
      if (isError(given)) {
        const Kind = ERRORS[textMember(given, 'name')] || WorkflowError;
        const copy = keep(given, new Kind(textMember(given, 'message') || ''));
        if ('cause' in given) hide(copy, 'cause', cloneOf(given.cause));
        if (typeof given.stack === 'string') hide(copy, 'stack', given.stack);
        return copy;
      }
      for (const [Kind, valueOf] of boxed) {
        if (instanceOf(Kind, given)) return keep(given, Object(valueOf(given)));
      }
      if (instanceOf(RealPromise, given) || instanceOf(IteratorPrototype.constructor, given) || mapHas(emptied, tryGetPrototypeOf(given))) throw refuse(given);
      return copyMembers(given, keep(given, {}));
    }

    const copy = cloneOf(value);
    for (const buffer of transfer) if (!pairHas(copies, buffer)) buffer.transfer();
    return copy;
  }

  return { structuredClone };
}
const pairHas = uncurry(Map.prototype.has);
