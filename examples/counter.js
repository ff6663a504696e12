// A plain script, for local mode: workflow-operator run examples/counter.js --input '{"to": 3}'
function main(input) {
  return transition(count, { to: input ? input.to : 5, value: 0 });
}

function count(memory) {
  log("at", memory.value);
  if (memory.value >= memory.to) return memory.value;
  return transition(count, { to: memory.to, value: memory.value + 1 });
}
