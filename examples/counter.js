// A plain script, for local mode: workflow-operator run examples/counter.js --input '{"to": 3}'
function main(input) {
  const to = input ? input.to : 5;
  for (let value = 0; value <= to; value++) transition(count, { to: to, value: value });
  return to;
}

function count(memory) {
  log("at", memory.value);
}
