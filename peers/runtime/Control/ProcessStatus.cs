using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using Archipelago.Runtime.Hosting;

namespace Archipelago.Runtime.Control;

/// <summary>
/// What this process says about itself: peers add a section for <c>/v1/status</c> and checks for <c>/v1/health</c>. The callbacks run on
/// the control plane's threads and must not wait for a reactor: they read what it publishes. Safe for any thread.
/// </summary>
public sealed class ProcessStatus(string name, string version, IClock clock)
{
    private readonly ConcurrentDictionary<string, Func<JsonNode?>> _sections = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Func<string?>> _checks = new(StringComparer.Ordinal);
    private readonly DateTimeOffset _startedAt = clock.UtcNow;
    private readonly long _startedMonotonic = clock.MonotonicNanoseconds;
    private volatile string _state = "starting";

    /// <summary><c>starting</c>, <c>running</c> or <c>stopping</c>.</summary>
    public string State
    {
        get => _state;
        set => _state = value;
    }

    /// <summary>Adds or replaces a peer's section.</summary>
    public void AddSection(string peer, Func<JsonNode?> section) => _sections[peer] = section;

    /// <summary>Adds or replaces a check: null if all is well, else the reason.</summary>
    public void AddCheck(string check, Func<string?> reason) => _checks[check] = reason;

    /// <summary>The answer of <c>/v1/status</c>. A section that fails is shown with its error, and hides no other.</summary>
    public StatusReport Report()
    {
        var sections = new JsonObject();
        foreach ((string peer, Func<JsonNode?> section) in _sections.OrderBy(s => s.Key, StringComparer.Ordinal))
        {
            JsonNode? node;
            try
            {
                node = section();
            }
            catch (Exception e)
            {
                node = new JsonObject { ["error"] = e.Message };
            }

            sections[peer] = node;
        }

        double uptime = (clock.MonotonicNanoseconds - _startedMonotonic) / 1e9;
        return new StatusReport(name, version, Environment.ProcessId, _startedAt, uptime, State, sections);
    }

    /// <summary>The answer of <c>/v1/health</c>. A check that throws fails.</summary>
    public HealthReport Health()
    {
        var failing = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach ((string check, Func<string?> reason) in _checks)
        {
            try
            {
                if (reason() is { } why)
                {
                    failing[check] = why;
                }
            }
            catch (Exception e)
            {
                failing[check] = e.Message;
            }
        }

        return new HealthReport(failing.Count == 0 ? "ok" : "failing", failing);
    }
}
