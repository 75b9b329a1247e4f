using System.Text;
using Archipelago.Memd;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Vlmcd.Tests;

/// <summary>
/// Stands before memd and cuts its user off after k changes: later requests fail, or hang until the user is dead. What was cut off has
/// had no effect, as with a user that was killed between two writes.
/// </summary>
internal sealed class CutPeer(MemdPeer memd) : Peer
{
    private readonly List<Completion<bool>> _held = [];
    private int _left = int.MaxValue;
    private bool _hold;

    /// <summary>Objects that were ever written.</summary>
    internal HashSet<string> Written { get; } = [];
    internal bool Records { get; set; } = true;
    /// <summary>Changes let through since the last cut.</summary>
    internal int Changes { get; private set; }
    internal int Held => _held.Count;
    internal bool IsCut => _left <= 0;

    internal void CutAfter(int changes, bool hold) => (_left, _hold, Changes) = (changes, hold, 0);

    /// <summary>The next so many writes are carried out and then answered with an error: their outcome is unknown to the writer.</summary>
    internal int LieAboutWrites { get; set; }

    /// <summary>Everything that hangs fails, without effect; what comes from here on goes through.</summary>
    internal void Mend()
    {
        _left = int.MaxValue;
        var held = _held.ToArray();
        _held.Clear();
        foreach (var one in held) one.Set(true);
    }

    /// <summary>The first request of this op on an object that is no header ends in an exception: a fault of ours in a peer of the same process.</summary>
    internal XsegOp? ThrowsOnceAt { get; set; }

    public override ValueTask<int> HandleAsync(Request request)
    {
        if (request.Op == ThrowsOnceAt && !request.Target.StartsWith("v."u8))
        {
            ThrowsOnceAt = null;
            throw new InvalidOperationException("nobody expects this");
        }

        bool changes = request.Op is not (XsegOp.Read or XsegOp.Info or XsegOp.Ping or XsegOp.Flush);
        if (_left <= 0) return Cut();
        if (changes)
        {
            _left--;
            Changes++;
        }

        if (Records && request.Op == XsegOp.Write) Written.Add(Encoding.UTF8.GetString(request.Target));
        if (request.Op == XsegOp.Write && LieAboutWrites > 0) return Lie(request);
        return memd.HandleAsync(request);
    }

    private async ValueTask<int> Lie(Request request)
    {
        LieAboutWrites--;
        await memd.HandleAsync(request);
        return Errno.EIO;
    }

    private async ValueTask<int> Cut()
    {
        if (!_hold) return Errno.EIO;
        var turn = new Completion<bool>();
        _held.Add(turn);
        await turn.Task;
        return Errno.EIO;
    }
}
