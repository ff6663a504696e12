-- WorkflowRun follows kstatus: status.observedGeneration, and the conditions Reconciling and Stalled.
local holds = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    if condition.status == "True" then
      holds[condition.type] = condition.message
    end
  end
end

local function health(status, message)
  return { status = status, message = message }
end

-- An end is final. Its generation may be an older one: a deletion raises it, and the spec never changes.
if holds.Complete ~= nil then
  return health("Healthy", holds.Complete)
end
-- Finished alone is a cancelled run: it did not do what it was there for, so a hook must not count as done.
if holds.Finished ~= nil then
  return health("Degraded", holds.Finished)
end

if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "waiting for the operator")
end
if holds.Stalled ~= nil then
  return health("Degraded", holds.Stalled)
end
if holds.Suspended ~= nil then
  return health("Suspended", holds.Suspended)
end
return health("Progressing", holds.Reconciling)
