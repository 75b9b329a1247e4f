using Archipelago.Memd;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached.Tests;

/// <summary>A memd in front of which requests are recorded, and may be held until the test lets them go.</summary>
internal sealed class RecordingBlocker(MemdPeer memd) : Peer
{
    private readonly List<(Func<Request, bool> Which, Completion<bool> Gate)> _held = [];

    internal sealed record Entry(XsegOp Op, string Name, ulong Offset, ulong Length, RequestFlags Flags, uint Flow, long At);

    internal List<Entry> Seen { get; } = [];
    /// <summary>Which requests wait; they are let go by <see cref="Release"/>.</summary>
    internal Func<Request, bool>? Hold { get; set; }
    /// <summary>An errno instead of what memd would say; the request then has no effect.</summary>
    internal Func<Request, int>? Fail { get; set; }
    internal int Held => _held.Count;
    /// <summary>Most writes in flight over one and the same bucket.</summary>
    internal int MostWritesPerBucket { get; private set; }
    private readonly Dictionary<(string, ulong), int> _inFlight = [];

    internal IEnumerable<Entry> Of(XsegOp op) => Seen.Where(entry => entry.Op == op);

    internal void Release()
    {
        Hold = null;
        foreach (var (_, gate) in _held.ToArray()) gate.Set(true);
        _held.Clear();
    }

    public override async ValueTask StartAsync()
    {
        memd.Context = Context;
        await memd.StartAsync();
    }

    public override async ValueTask<int> HandleAsync(Request request)
    {
        string name = System.Text.Encoding.UTF8.GetString(request.Target);
        Seen.Add(new Entry(request.Op, name, request.Offset, request.Length, request.Flags, request.Flow, Context.Reactor.Now));
        Count(request, name, 1);
        if (Hold?.Invoke(request) == true)
        {
            var gate = new Completion<bool>();
            _held.Add((Hold, gate));
            await gate.Task;
        }

        int status = Fail?.Invoke(request) ?? 0;
        if (status == 0) status = await memd.HandleAsync(request);
        Count(request, name, -1);
        return status;
    }

    private void Count(in Request request, string name, int change)
    {
        if (request.Op != XsegOp.Write) return;
        for (ulong bucket = request.Offset >> 12; bucket << 12 < request.Offset + request.Length; bucket++)
        {
            _inFlight.TryGetValue((name, bucket), out int now);
            _inFlight[(name, bucket)] = now + change;
            MostWritesPerBucket = Math.Max(MostWritesPerBucket, now + change);
        }
    }
}
