-- The request and the report of one run; read by benchmarks/load.py, which calls
-- wrk ... URL -- METHOD BODY [NAME VALUE]..., with the names and values of the headers.
init = function(args)
  wrk.method = args[1]
  -- An empty body would be sent as "Content-Length: 0".
  if args[2] ~= "" then wrk.body = args[2] end
  for index = 3, #args, 2 do wrk.headers[args[index]] = args[index + 1] end
  if wrk.path:find("{id}", 1, true) then draw() end
end

-- "{id}" in the path stands for a number from 1 to 10,000, another one for each request.
draw = function()
  local path, drawn = wrk.path, {}
  for id = 1, 10000 do drawn[id] = wrk.format(nil, (path:gsub("{id}", id))) end
  request = function() return drawn[math.random(10000)] end
end

-- Prints the figures as a JSON object on the last line.
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "refused": %d, "broken": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read + errors.write, errors.status, errors.timeout))
end
