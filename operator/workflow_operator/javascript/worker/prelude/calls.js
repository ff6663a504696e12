// What a script calls and the host answers.
function ask(name, argumentsJson) {
  const stack = text(new RealError('').stack);
  send(ASK, `{"kind":"call","name":${stringify(name)},"stack":${stringify(stack)},"arguments":${argumentsJson}}`);
  const reply = parse(received());
  if (reply.kind === 'throw') throw named(new RealError(reply.message), reply.name);
  time = reply.time_ms;
  return reply.value;
}

function describe(value) {
  if (value === null) return 'null';
  if (isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a value of type ${typeof value}`;
}

function transition(fn, payload) {
  if (arguments.length !== 2)
    throw new RealTypeError(`transition: expected 2 arguments, a function and its payload, got ${arguments.length}`);
  if (typeof fn !== 'function')
    throw new RealTypeError(`transition: expected a function as first argument, got ${describe(fn)}`);
  const name = fn.name;
  if (typeof name !== 'string' || name === '')
    throw new RealTypeError('transition: expected a named function as first argument, got one without a name');
  const json = payload === undefined ? 'null' : serialise(payload, `transition: the payload for ${name}`);
  ask('transition', `{"function":${stringify(name)},"payload":${json}}`);
  return fn(parse(json));
}

function finish(value) {
  const json = value === undefined ? 'null' : serialise(value, 'finish: the output');
  ask('finish', `{"output":${json}}`);
  return null;
}

function sleep(seconds) {
  if (seconds === undefined) return undefined;
  if (!isInteger(seconds)) {
    const given = typeof seconds === 'number' ? text(seconds) : describe(seconds);
    throw new RealTypeError(`sleep: expected a whole number of seconds, got ${given}`);
  }
  if (seconds > 0) ask('sleep', `{"seconds":${stringify(seconds)}}`);
  return undefined;
}

const id = () => job.instance_id;

function now() {
  const at = time;
  return {
    unix: () => floor(at / 1000),
    format(layout) {
      if (typeof layout === 'string') return formatTime(at, layout);
      throw new RealTypeError(`now().format: expected a layout as string, got ${describe(layout)}`);
    },
  };
}
