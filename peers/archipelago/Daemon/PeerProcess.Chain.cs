using System.Text;
using Archipelago.Cli.Peers;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;

namespace Archipelago.Cli.Daemon;

/// <summary>Before anything stops: does everybody answer whom our peers need to come to rest, and is all data stable?</summary>
internal sealed partial class PeerProcess
{
    /// <summary>Brings the caches' data down, and with <paramref name="chain"/> (`down`) asks those below our peers too.</summary>
    /// <exception cref="ErrnoException">Nothing was stopped.</exception>
    private async Task FlushAsync(TimeSpan limit, bool chain, Action<StopStep> tell)
    {
        long end = Environment.TickCount64 + (long)limit.TotalMilliseconds;
        // Nobody waits for the dead: all of them first.
        if (chain)
            foreach (var (kind, _) in _made)
                foreach (string route in _config.RoutesUsedBy(kind)) RequireServed(kind, route);
        var asked = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (kind, made) in _made)
        {
            if (made.KeepsCachePages) await AskThroughAsync(kind, _config.RouteOf(kind)!, XsegOp.Flush);
            // A cache asks its blocker by itself. A gateway's volumes are flushed when they are closed.
            else if (chain)
                foreach (string route in _config.RoutesUsedBy(kind)) await AskThroughAsync(kind, route, kind.Serves is null ? XsegOp.Ping : XsegOp.Flush);
        }

        async Task AskThroughAsync(PeerKind kind, string route, XsegOp op)
        {
            if (!asked.Add(route)) return;
            string step = op == XsegOp.Flush ? $"flushing {kind.Name}" : $"asking route '{route}', which {kind.Name} needs";
            tell(new StopStep(step, Dirty()));
            var answer = _operator.AskAsync(route, op, "", TimeSpan.FromMilliseconds(Math.Max(end - Environment.TickCount64, 1)));
            while (await Task.WhenAny(answer, Task.Delay(500)) != answer)
            {
                tell(new StopStep(step, Dirty()));
                _manager.ExtendTimeout(TimeSpan.FromSeconds(30));
            }

            try
            {
                if (await answer is { Status: not Errno.ENOTSUP } known) known.OrThrow(op == XsegOp.Flush ? $"{kind.Name} cannot make its dirty data stable" : $"route '{route}' does not answer {kind.Name}");
            }
            catch (ErrnoException e)
            {
                throw new ErrnoException(e.Errno, $"{e.Message}; nothing was stopped. `down --discard-dirty` gives it up ({Dirty()} dirty pages)", e);
            }
        }
    }

    /// <summary>A route that one of our peers sends to and that no peer has ever served; null if there is none.</summary>
    private string? RouteNeverServed() => _made.SelectMany(m => _config.RoutesUsedBy(m.Kind))
        .FirstOrDefault(route => !RouteTable.TryFind(_segment, Encoding.UTF8.GetBytes(route), out _, out _));

    /// <summary>Refuses if nobody serves a route that this kind sends to: its requests would wait for ever.</summary>
    private unsafe void RequireServed(PeerKind kind, string route)
    {
        string who = "nobody has ever served it; start it";
        if (RouteTable.TryFind(_segment, Encoding.UTF8.GetBytes(route), out int port, out _))
        {
            if (PortTable.IsAlive(_segment, port)) return;
            var entry = _segment.PortAt(port);
            string name = Encoding.UTF8.GetString(PortTable.NameOf(_segment, port));
            who = $"{name} (process {entry->ProcessId}), which served it, {(entry->State == (uint)Xseg.Layout.PortState.Bound ? "is dead" : "was stopped")}; start it again (`archipelago run {name.Split('.')[0]}`)";
        }

        throw new ErrnoException(Errno.ESHUTDOWN,
            $"{kind.Name} needs route '{route}' to come to rest, and {who}; nothing was stopped. `down --discard-dirty` gives up what is not stable ({Dirty()} dirty pages)");
    }
}
