// The globals of a script.
const log = writer('log', 'info');
const globals = { transition, finish, sleep, id, now, log, print: writer('print', 'info') };
for (const name of ['fetch', 'fetchSync', 'getSecret', 'getSecrets', 'setVariable', 'getVariable', 'execSubflow',
  'generateAction', 'execService', 'step', 'waitForEvent']) {
  globals[name] = ({ [name]() { throw named(new RealError(`${name} is not available in this version`), 'NotAvailable'); } })[name];
}
globals.eval = ({ eval() { throw new RealEvalError('eval is not available in workflow scripts'); } }).eval;
globals.console = {
  log, info: writer('info', 'info'), debug: writer('debug', 'debug'), warn: writer('warn', 'warn'), error: writer('error', 'error'),
};
for (const name of ownKeys(globals)) hide(global, name, globals[name]);
