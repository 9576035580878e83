-- wrk calls it once, after the run.
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("REPORT %d %d\n", summary.requests,
        e.connect + e.read + e.write + e.timeout + e.status))
end
