using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Runtime.Tests.Routing;

/// <summary>
/// A peer that notes what it is asked. INFO is answered at once, serviced is the offset plus one; TRUNCATE is held until
/// <see cref="ReleaseAll"/>; HASH is passed on to the route "next".
/// </summary>
internal sealed class Recorder(string name = "", List<string>? journal = null) : Peer
{
    private readonly Queue<Completion<bool>> _held = new();
    private int _seen;

    internal List<(XsegOp Op, ulong Offset, int Attempts)> Seen { get; } = [];
    internal int Count => Volatile.Read(ref _seen);
    internal Exception? StartFault, StopFault;

    public override ValueTask StartAsync() => StartFault == null ? default : throw StartFault;

    public override ValueTask StopAsync()
    {
        journal?.Add(name);
        ReleaseAll();
        return StopFault == null ? default : throw StopFault;
    }

    public override ValueTask<int> HandleAsync(Request request)
    {
        Seen.Add((request.Op, request.Offset, request.Attempts));
        Volatile.Write(ref _seen, Seen.Count);
        return request.Op switch
        {
            XsegOp.Info => Answer(request),
            XsegOp.Truncate => Hold(request),
            XsegOp.Hash => PassOn(request),
            _ => new ValueTask<int>(XsegErrno.ENOTSUP),
        };
    }

    internal void ReleaseAll()
    {
        while (_held.TryDequeue(out var held)) held.Set(true);
    }

    private static ValueTask<int> Answer(Request request)
    {
        request.Serviced = request.Offset + 1;
        return new ValueTask<int>(0);
    }

    private async ValueTask<int> Hold(Request request)
    {
        var gate = new Completion<bool>();
        _held.Enqueue(gate);
        await gate.Task;
        return await Answer(request);
    }

    private async ValueTask<int> PassOn(Request request)
    {
        var child = await Context.AllocateAsync();
        Context.Port.Prepare(child, XsegOp.Info, request.Flow, request.Target, request.Hash, request.Offset, 0);
        Context.Port.SetParent(child, request);
        int status = await Context.OpenRoute("next").SubmitAsync(child);
        request.Serviced = child.Serviced * 10;
        Context.Free(child);
        return status;
    }
}
