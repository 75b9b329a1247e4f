using Archipelago.Runtime.Routing;
using Microsoft.Extensions.Logging;

namespace Archipelago.Nbd.Core;

/// <summary>
/// Says of which exports deadlines pass: at once, then one line per export and second. A store that hangs lets thousands pass, and the log
/// must not grow with them. One reactor.
/// </summary>
internal sealed class ExpiryLog(PeerContext context, TimeSpan deadline)
{
    private const long Pause = 1_000_000_000;
    private readonly List<Export> _untold = [];
    private bool _pausing;

    internal void Add(Export export)
    {
        if (export.Untold++ == 0) _untold.Add(export);
    }

    /// <summary>After all that expire together were added.</summary>
    internal void Tell()
    {
        if (_pausing || _untold.Count == 0) return;
        foreach (var export in _untold)
        {
            context.Log.LogWarning(
                "volume {Volume}: {Requests} requests had no answer within the deadline of {Deadline} s and were answered with an error; a change among them may still take effect",
                export.Name, export.Untold, deadline.TotalSeconds);
            export.Untold = 0;
        }

        _untold.Clear();
        _pausing = true;
        context.Reactor.Schedule(context.Reactor.Now + Pause, static state => ((ExpiryLog)state!).Resume(), this);
    }

    private void Resume()
    {
        _pausing = false;
        Tell();
    }
}
