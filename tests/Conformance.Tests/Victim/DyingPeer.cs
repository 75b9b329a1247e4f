using System.Diagnostics;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Victim;

/// <summary>Dies as by kill -9 when the blocker inside has executed such a request (a WRITE: a swap), before anybody is told.</summary>
internal sealed class DyingPeer(Peer inner, XsegOp op = XsegOp.Write) : Peer
{
    public override ValueTask StartAsync()
    {
        typeof(Peer).GetProperty(nameof(Context))!.SetValue(inner, Context);
        return inner.StartAsync();
    }

    public override async ValueTask<int> HandleAsync(Request request)
    {
        int status = await inner.HandleAsync(request);
        if (request.Op != op || (op == XsegOp.Write && (request.Flags & RequestFlags.Compare) == 0) || status != 0) return status;
        using var self = Process.GetCurrentProcess();
        self.Kill();
        // The signal may take its time.
        Thread.Sleep(Timeout.Infinite);
        return status;
    }

    public override ValueTask StopAsync() => inner.StopAsync();
}
