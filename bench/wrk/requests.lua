-- Sends the requests of a file, one after the other, again from the first after the last.
--   wrk … -s requests.lua URL -- FILE PAUSE_MS
-- FILE: requests as raw HTTP, each with its length before it as 8 digits.
-- PAUSE_MS: each connection waits a random time of this mean before each request; 0 sends at once.
-- The last line of what wrk prints is JSON, made below.

local requests, place, pause_ms = {}, 0, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local size = file:read(8)
    if not size then break end
    requests[#requests + 1] = file:read(tonumber(size))
  end
  file:close()
  pause_ms = tonumber(args[2])
  math.randomseed(os.time())
  if pause_ms > 0 then
    function delay() return math.floor(math.random() * 2 * pause_ms + 0.5) end
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"answers":%d,"bytes":%d,"duration_us":%d,"failed":%d,"statuses":%d,' ..
    '"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.bytes, summary.duration,
    errors.connect + errors.read + errors.write + errors.timeout, errors.status,
    latency:percentile(50), latency:percentile(99)))
end
