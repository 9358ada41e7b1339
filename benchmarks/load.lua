-- wrk script: args are MODE and its numbers; the summary is printed as one line of JSON.
-- plain | upload BYTES | mix ROUTES CONSUMERS (requests spread over routes and API keys)
local prepared = nil
local position = 0

function init(args)
   local mode = args[1] or "plain"
   if mode == "upload" then
      wrk.method = "POST"
      wrk.body = string.rep("x", tonumber(args[2]))
   elseif mode == "mix" then
      local routes, consumers = tonumber(args[2]), tonumber(args[3])
      prepared = {}
      for k = 1, 1000 do
         wrk.headers["X-API-Key"] = string.format("key-%06d", (k * 104729) % consumers)
         prepared[k] = wrk.format("GET", string.format("/service-%d/items/%d", (k * 7919) % routes, k))
      end
      request = function()
         position = position % 1000 + 1
         return prepared[position]
      end
   end
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '\nSUMMARY {"requests":%d,"duration_us":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,' ..
      '"p50_us":%d,"p90_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d}\n',
      summary.requests, summary.duration, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout,
      latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max))
end
